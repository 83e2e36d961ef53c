#include "control/admission.h"

#include <gtest/gtest.h>

namespace sagebrush::control {
namespace {

TEST(Admission, AdmitsInOrderOfCreationWhileThereIsRoom) {
  Admission admission(4);
  admission.Enqueue(JobName("b"), 2, 2);
  admission.Enqueue(JobName("a"), 1, 2);
  admission.Enqueue(JobName("c"), 3, 2);
  EXPECT_FALSE(admission.HasRoom(JobName("b")));
  ASSERT_TRUE(admission.HasRoom(JobName("a")));
  admission.Admit(JobName("a"));
  ASSERT_TRUE(admission.HasRoom(JobName("b")));
  admission.Admit(JobName("b"));
  EXPECT_FALSE(admission.HasRoom(JobName("c")));
  EXPECT_EQ(admission.Release(JobName("a")), JobName("c"));
  EXPECT_TRUE(admission.HasRoom(JobName("c")));
}

TEST(Admission, AJobLargerThanTheMachineRunsAlone) {
  Admission admission(2);
  admission.Enqueue(JobName("large"), 1, 96);
  EXPECT_TRUE(admission.HasRoom(JobName("large")));
  admission.Admit(JobName("large"));
  admission.Enqueue(JobName("small"), 2, 1);
  EXPECT_FALSE(admission.HasRoom(JobName("small")));
}

TEST(Admission, ASmallerJobDoesNotOvertake) {
  Admission admission(4);
  admission.Enqueue(JobName("running"), 1, 3);
  admission.Admit(JobName("running"));
  admission.Enqueue(JobName("large"), 2, 4);
  admission.Enqueue(JobName("small"), 3, 1);
  EXPECT_FALSE(admission.HasRoom(JobName("small")));
}

TEST(Admission, AWaitingJobThatEndsLeavesTheLine) {
  Admission admission(1);
  admission.Enqueue(JobName("a"), 1, 1);
  admission.Enqueue(JobName("b"), 2, 1);
  EXPECT_EQ(admission.Release(JobName("a")), JobName("b"));
  EXPECT_TRUE(admission.HasRoom(JobName("b")));
  EXPECT_EQ(admission.Release(JobName("unknown")), JobName("b"));
}

}  // namespace
}  // namespace sagebrush::control
