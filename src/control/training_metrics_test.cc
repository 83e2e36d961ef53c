#include "control/training_metrics.h"

#include <gmock/gmock.h>

#include "control/test_control_plane.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;

constexpr char kSpace[] = "/aws/sagemaker/TrainingJobs";
constexpr int64_t kDayMs = 86'400'000;

sm::CreateTrainingJobRequest MeasuredJob(const std::string& name) {
  sm::CreateTrainingJobRequest request = TestRequest(name);
  request.AlgorithmSpecification->MetricDefinitions = {{"loss", "loss: ([0-9.]+)"}, {"never", "never: (.*)"}};
  return request;
}

// All values of a metric, as one.
std::optional<metricstore::Distribution> Whole(ControlPlane& plane, const metricstore::Metric& metric) {
  auto points = *plane.metrics_->Range({metric, {}, 0, kDayMs, kDayMs, true});
  if (points.empty()) return std::nullopt;
  EXPECT_EQ(points.size(), 1u);
  return points[0].values;
}
metricstore::Metric Loss(const std::string& job) { return {kSpace, "loss", {{"TrainingJobName", job}}}; }

void ExpectLoss(ControlPlane& plane, const std::string& job, double count, double sum, double last) {
  auto values = Whole(plane, Loss(job));
  ASSERT_TRUE(values);
  EXPECT_EQ(values->count(), count);
  EXPECT_EQ(values->sum(), sum);
  auto final = plane.Describe(job).FinalMetricDataList;
  ASSERT_EQ(final.size(), 1u) << "one of the metrics has no value";
  EXPECT_EQ(final[0].MetricName, "loss");
  EXPECT_EQ(final[0].Value, last);
  EXPECT_GT(final[0].Timestamp->ms, 0);
}

TEST(TrainingMetrics, AreThereWhenTheJobIsSeenToHaveEnded) {
  ControlPlane plane;
  plane.machine_->SetScript({.automatic = true, .lines = {"loss: 4", "nothing", "loss: 2 then loss: 1", "loss: x"}});
  plane.Create(MeasuredJob("job"));
  ASSERT_TRUE(plane.AwaitStatus("job", "Completed"));
  ExpectLoss(plane, "job", 3, 7, 1);
  EXPECT_EQ(Whole(plane, Loss("job"))->Percentile(50), 2);
  ASSERT_TRUE(plane.AwaitCleanedUp());
  plane.Restart();
  ExpectLoss(plane, "job", 3, 7, 1);
}

TEST(TrainingMetrics, EveryLineCountsOnceOverRestarts) {
  ControlPlane plane;
  plane.Create(MeasuredJob("job"));
  InstanceId id = InstanceIdOf(JobName("job"), 1, 0);
  ASSERT_TRUE(plane.AwaitStarted(id));
  plane.machine_->AdvanceTo(id, driver::Phase::kTraining);
  ASSERT_TRUE(plane.AwaitSecondary("job", "Training"));
  for (int line = 0; line < 60; ++line) {
    plane.machine_->Print(id, "loss: " + std::to_string(line));
    if (line % 20 == 10) plane.Restart();
  }
  plane.machine_->AdvanceTo(id, driver::Phase::kEnded);
  ASSERT_TRUE(plane.AwaitStatus("job", "Completed"));
  ExpectLoss(plane, "job", 60, 59 * 30, 59);
}

// As after a crash between the commit of lines and that of their metrics.
TEST(TrainingMetrics, LinesThatOnlyTheLogStoreKnowsAreMadeUpFor) {
  ControlPlane plane;
  std::string stream = "job/algo-1-1";
  auto ingest = [&](uint64_t from, uint64_t to, const std::string& line) {
    logstore::LogEvent event;
    event.timestamp_ms = 1'000'000;
    event.message = line;
    ASSERT_TRUE(plane.logs_->Ingest(kTrainingJobLogGroup, stream, from, to, {event}));
  };
  TrainingJobRecord record{MeasuredJob("job"), domain::NewTrainingJobState(1'000)};
  InstanceId id("job.1.0");
  auto look = [&](uint64_t recorded) {
    TrainingMetrics fresh(*plane.metrics_, *plane.logs_, *plane.instance_metrics_);
    fresh.Watch(id, 0, stream, record);
    ASSERT_TRUE(fresh.CatchUp(id, recorded));
    ASSERT_TRUE(fresh.CatchUp(id, recorded));
  };
  look(0);
  EXPECT_FALSE(Whole(plane, Loss("job")));
  ingest(0, 10, "loss: 1");
  ingest(10, 20, "loss: 2");
  look(20);
  look(20);
  EXPECT_EQ(Whole(plane, Loss("job"))->sum(), 3);
  ingest(20, 30, "loss: 4");
  look(30);
  EXPECT_EQ(Whole(plane, Loss("job"))->sum(), 7);
  EXPECT_EQ(Whole(plane, Loss("job"))->count(), 3);
}

TEST(TrainingMetrics, ExpressionsAreCheckedWhenAJobIsCreated) {
  ControlPlane plane;
  sm::CreateTrainingJobRequest request = MeasuredJob("job");
  request.AlgorithmSpecification->MetricDefinitions[1].Regex = "(?<=a)b";
  auto refused = plane.frontend_->Create(request, "");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "ValidationException");
  EXPECT_THAT(refused.error().message, testing::HasSubstr("'never'"));
  request.AlgorithmSpecification->MetricDefinitions[1] = {"loss", "b"};
  refused = plane.frontend_->Create(request, "");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("'loss' twice"));
}

TEST(InstanceMetrics, TellWhatInstancesUseOfWhatTheyHave) {
  ControlPlane plane;
  plane.Create(TestRequest("job"));  // ml.m5.large: 2 vCPUs, 8 GiB; a volume of 30 GB
  InstanceId id = InstanceIdOf(JobName("job"), 1, 0);
  ASSERT_TRUE(plane.AwaitStarted(id));
  plane.machine_->SetUsage(id, {.cpu_ns = 1, .memory_bytes = int64_t{2} << 30, .disk_bytes = int64_t{3} << 30});
  ASSERT_TRUE(plane.instance_metrics_->Sample());
  ASSERT_TRUE(plane.instance_metrics_->Sample()) << "too early for a second look";
  auto value = [&](const char* name) {
    auto values = Whole(plane, {kSpace, name, {{"Host", "job/algo-1"}}});
    if (!values) return -1.0;
    EXPECT_EQ(values->count(), 1);
    return values->sum();
  };
  EXPECT_EQ(value("MemoryUtilization"), 25);
  EXPECT_EQ(value("DiskUtilization"), 10);
  EXPECT_GE(value("CPUUtilization"), 0);
  EXPECT_LT(value("CPUUtilization"), 1);
  auto listed = *plane.metrics_->List({.dimensions = {{"Host", "job/algo-1"}}});
  EXPECT_EQ(listed.first.size(), 3u);
  plane.machine_->AdvanceTo(id, driver::Phase::kEnded);
  ASSERT_TRUE(plane.AwaitStatus("job", "Completed"));
  ASSERT_TRUE(plane.AwaitCleanedUp());
  ASSERT_TRUE(plane.instance_metrics_->Sample()) << "nothing is watched any more";
}

}  // namespace
}  // namespace sagebrush::control
