#include "cli/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/testing.h"

namespace sagebrush::cli {
namespace {

using testing::CapturedTerminal;
using testing::FixedEnvironment;
using ::testing::HasSubstr;
using testing::TemporaryDirectory;

Requirement Named(const std::vector<Requirement>& requirements, const std::string& name) {
  for (const Requirement& requirement : requirements) {
    if (requirement.name == name) return requirement;
  }
  ADD_FAILURE() << "no requirement named " << name;
  return {};
}

TEST(ReportRequirements, OnlyMandatoryOnesFail) {
  CapturedTerminal captured;
  EXPECT_EQ(ReportRequirements(captured.terminal,
                               {{.name = "a", .met = true, .detail = "fine"},
                                {.name = "b", .met = false, .mandatory = false, .detail = "slow", .remedy = "mend b"}},
                               false),
            0);
  EXPECT_EQ(captured.out.str(), "✓ a  fine\n! b  slow\n     to mend: mend b\n\nThis machine can run jobs.\n");
}

TEST(CheckMachine, NamesWhatIsWrongAndHowToMendIt) {
  TemporaryDirectory home;
  home.Write("ca/ca.pem", "not a certificate");
  auto configuration = LoadConfiguration(home.path(), FixedEnvironment({}), {});
  ASSERT_TRUE(configuration);
  auto requirements = CheckMachine(*configuration);
  Requirement authority = Named(requirements, "certificate authority");
  EXPECT_FALSE(authority.met);
  EXPECT_THAT(authority.detail, HasSubstr("ca.pem cannot be read"));
  EXPECT_THAT(authority.remedy, HasSubstr("rm -r " + (home.path() / "ca").string()));
  EXPECT_TRUE(Named(requirements, "data directory").met);
  EXPECT_TRUE(Named(requirements, "clock").met);
  for (const Requirement& requirement : requirements) {
    EXPECT_EQ(requirement.met, requirement.remedy.empty()) << requirement.name;
    EXPECT_FALSE(requirement.detail.empty()) << requirement.name;
  }
}

TEST(CheckMachine, ADataDirectoryThatIsNotThereYetIsFine) {
  TemporaryDirectory home;
  auto configuration = LoadConfiguration(home.path() / "new/er", FixedEnvironment({}), {});
  ASSERT_TRUE(configuration);
  Requirement directory = Named(CheckMachine(*configuration), "data directory");
  EXPECT_TRUE(directory.met);
  EXPECT_THAT(directory.detail, HasSubstr("made at first start"));
  EXPECT_FALSE(std::filesystem::exists(home.path() / "new"));
}

}  // namespace
}  // namespace sagebrush::cli
