#include "control/training_job_frontend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "control/test_request.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;
using testing::ElementsAre;
using testing::HasSubstr;

class TrainingJobFrontendTest : public testing::Test {
 protected:
  TrainingJobFrontendTest() {
    char pattern[] = "/tmp/sagebrush-frontend-XXXXXX";
    directory_ = ::mkdtemp(pattern);
    Open();
  }
  ~TrainingJobFrontendTest() override { std::filesystem::remove_all(directory_); }

  void Open() {
    database_ = *Database::Open(directory_ / "control.db");
    jobs_.emplace(*database_);
    frontend_.emplace(*jobs_, clock_,
                      TrainingJobFrontend::Options{{"123456789012", "us-west-2"},
                                                   [this](const JobName& job) { woken_.push_back(job.value()); }});
  }

  std::vector<std::string> ListNames(const sm::ListTrainingJobsRequest& request) {
    Result<sm::ListTrainingJobsResponse> response = frontend_->List(request);
    EXPECT_TRUE(response);
    std::vector<std::string> names;
    for (const auto& summary : response->TrainingJobSummaries) names.push_back(summary.TrainingJobName);
    last_token_ = response->NextToken;
    return names;
  }

  void Create(const std::string& name) {
    clock_.Advance(1000);
    ASSERT_TRUE(frontend_->Create(TestRequest(name), ""));
  }

  void End(const std::string& name) {
    ASSERT_TRUE(jobs_->Update(JobName(name), [&](domain::TrainingJobState& state) -> Result<void> {
      state.outcome = domain::Outcome{domain::TrainingJobStatus::kCompleted, domain::SecondaryStatus::kCompleted, ""};
      return Finish(state, clock_.NowMs());
    }));
  }

  std::filesystem::path directory_;
  ManualClock clock_{1'700'000'000'000};
  std::unique_ptr<Database> database_;
  std::optional<TrainingJobTable> jobs_;
  std::optional<TrainingJobFrontend> frontend_;
  std::vector<std::string> woken_;
  std::optional<std::string> last_token_;
};

TEST_F(TrainingJobFrontendTest, CreatesDescribesAndWakes) {
  Result<sm::CreateTrainingJobResponse> created = frontend_->Create(TestRequest("job-1"), "");
  ASSERT_TRUE(created);
  EXPECT_EQ(created->TrainingJobArn, "arn:aws:sagemaker:us-west-2:123456789012:training-job/job-1");
  EXPECT_THAT(woken_, ElementsAre("job-1"));
  Result<sm::DescribeTrainingJobResponse> described = frontend_->Describe({"job-1"});
  ASSERT_TRUE(described);
  EXPECT_EQ(described->TrainingJobStatus, "InProgress");
  EXPECT_EQ(described->SecondaryStatus, "Starting");
  // The SDK's attach reads these without a guard.
  EXPECT_EQ(described->OutputDataConfig->KmsKeyId, "");
  EXPECT_EQ(described->ResourceConfig->VolumeSizeInGB, 30);
  EXPECT_EQ(described->StoppingCondition.MaxRuntimeInSeconds, 3600);
}

TEST_F(TrainingJobFrontendTest, ADuplicateIsResourceInUseButARetryOfTheSameCallIsNot) {
  ASSERT_TRUE(frontend_->Create(TestRequest("job"), "call-1"));
  EXPECT_TRUE(frontend_->Create(TestRequest("job"), "call-1"));
  Result<sm::CreateTrainingJobResponse> other = frontend_->Create(TestRequest("job"), "call-2");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, "ResourceInUse");
  EXPECT_FALSE(frontend_->Create(TestRequest("job"), ""));
}

TEST_F(TrainingJobFrontendTest, AnUnknownJobIsAValidationException) {
  Result<sm::DescribeTrainingJobResponse> described = frontend_->Describe({"none"});
  ASSERT_FALSE(described);
  EXPECT_EQ(described.error().code, "ValidationException");
  EXPECT_EQ(described.error().message, "Requested resource not found.");
  EXPECT_EQ(frontend_->Stop({"none"}).error().message, "Requested resource not found.");
}

TEST_F(TrainingJobFrontendTest, StopMarksOnceAndRefusesAnEndedJob) {
  Create("job");
  ASSERT_TRUE(frontend_->Stop({"job"}));
  EXPECT_EQ(frontend_->Describe({"job"})->TrainingJobStatus, "Stopping");
  ASSERT_TRUE(frontend_->Stop({"job"}));
  EXPECT_EQ(frontend_->Describe({"job"})->SecondaryStatusTransitions.size(), 2u);
  End("job");
  Result<sm::StopTrainingJobResponse> late = frontend_->Stop({"job"});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, "ValidationException");
  EXPECT_THAT(late.error().message, HasSubstr("Completed"));
}

TEST_F(TrainingJobFrontendTest, ListsFilteredSortedAndPaged) {
  for (const char* name : {"c", "a", "b", "d"}) Create(name);
  End("b");
  EXPECT_THAT(ListNames({}), ElementsAre("d", "b", "a", "c"));
  EXPECT_THAT(ListNames({.SortBy = "Name", .SortOrder = "Ascending"}), ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(ListNames({.StatusEquals = "Completed"}), ElementsAre("b"));
  EXPECT_THAT(ListNames({.NameContains = "a"}), ElementsAre("a"));
  EXPECT_THAT(ListNames({.NameContains = "%"}), ElementsAre());
  for (const char* sort_by : {"CreationTime", "Name", "Status"}) {
    for (const char* order : {"Ascending", "Descending"}) {
      std::vector<std::string> whole = ListNames({.SortBy = sort_by, .SortOrder = order}), paged;
      sm::ListTrainingJobsRequest request{.MaxResults = 1, .SortBy = sort_by, .SortOrder = order};
      do {
        for (std::string& name : ListNames(request)) paged.push_back(std::move(name));
        request.NextToken = last_token_;
      } while (request.NextToken);
      EXPECT_EQ(paged, whole) << sort_by << order;
    }
  }
  EXPECT_FALSE(frontend_->List({.NextToken = "garbage!"}));
}

TEST_F(TrainingJobFrontendTest, EverythingIsThereAfterARestartAndTheEpochGrows) {
  Create("job");
  Epoch before = database_->epoch();
  frontend_.reset();
  jobs_.reset();
  database_.reset();
  Open();
  EXPECT_EQ(database_->epoch().value, before.value + 1);
  EXPECT_TRUE(frontend_->Describe({"job"}));
  EXPECT_THAT(*jobs_->Active(), ElementsAre(JobName("job")));
}

TEST_F(TrainingJobFrontendTest, AnEngineThatLostItsLeaseChangesNothing) {
  Create("job");
  std::unique_ptr<Database> usurper = *Database::Open(directory_ / "control.db");
  Result<sm::StopTrainingJobResponse> stopped = frontend_->Stop({"job"});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().kind, ErrorKind::kFailedPrecondition);
  EXPECT_EQ(frontend_->Describe({"job"})->TrainingJobStatus, "InProgress");
}

}  // namespace
}  // namespace sagebrush::control
