#include "driver/sandbox/login_environment.h"

#include <gmock/gmock.h>

namespace sagebrush::driver {
namespace {

using ::testing::ElementsAre;

TEST(LoginEnvironment, TakesTheFilesVariablesOverThoseThatAreThere) {
  EXPECT_THAT(LoginEnvironment({"PATH=/bin", "HOME=/root"}, ""), ElementsAre("PATH=/bin", "HOME=/root"));
  EXPECT_THAT(
      LoginEnvironment({"PATH=/bin", "PATHS=x"},
                       "SM_HOSTS=[\"algo-1\", \"algo-2\"]\n# PATH=/comment\n  PATH=/venv/bin:/bin\nSM_HOSTS=[]\n"),
      ElementsAre("PATH=/venv/bin:/bin", "PATHS=x", "SM_HOSTS=[]"));
}

TEST(LoginEnvironment, ReadsWhatAdministratorsWrite) {
  EXPECT_THAT(LoginEnvironment({}, "export A=\"b c\"\nB='d'\nC=\"\nD=\nE=x=y"),
              ElementsAre("A=b c", "B=d", "C=\"", "D=", "E=x=y"));
}

TEST(LoginEnvironment, LeavesOutLinesThatAreNoAssignment) {
  EXPECT_THAT(LoginEnvironment({}, "=x\n1A=x\nA B=x\nsecond line of a value\nA-B=x\n\n"), ElementsAre());
}

}  // namespace
}  // namespace sagebrush::driver
