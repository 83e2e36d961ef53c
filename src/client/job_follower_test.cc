#include "client/job_follower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "client/testing/fake_engine.h"

namespace sagebrush::client {
namespace {

using ::testing::ElementsAre;
using testing::FakeEngine;
using testing::ScriptedWaiter;

struct Recorder {
  std::vector<std::string> events;
  FollowEvents Events() {
    return {.line = [this](const LogLine& line) { events.push_back("line " + line.text); },
            .status = [this](const StatusChange& change) { events.push_back(change.status + " " + change.message); },
            .tick = [](const TrainingJob&) {},
            .lost = [this](const Error&) { events.push_back("lost"); },
            .found = [this] { events.push_back("found"); }};
  }
};

Result<TrainingJob> Follow(FakeEngine& engine, ScriptedWaiter& waiter, Recorder& recorder) {
  TRY(TrainingJob job, DescribeTrainingJob(engine, "a"));
  return JobFollower(engine, waiter, recorder.Events(), {}).Run(std::move(job));
}

TEST(JobFollower, FollowsStatusesAndLinesToTheEnd) {
  FakeEngine engine;
  auto& job = engine.AddJob("a");
  ScriptedWaiter waiter({[&] {
                           FakeEngine::Enter(job, "Training", "Training image ready");
                           engine.Print("a", "algo-1", 1, "epoch 1");
                         },
                         [&] {
                           engine.Print("a", "algo-1", 2, "last words");
                           FakeEngine::Enter(job, "Completed", "Done");
                           job.TrainingJobStatus = job.SecondaryStatus = "Completed";
                         }});
  Recorder recorder;
  auto ended = Follow(engine, waiter, recorder);
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_EQ(ended->status, "Completed");
  EXPECT_THAT(recorder.events, ElementsAre("Starting Starting the training job", "Training Training image ready",
                                           "line epoch 1", "line last words", "Completed Done"));
}

TEST(JobFollower, AFinishedJobIsReadToItsEndAtOnce) {
  FakeEngine engine;
  engine.AddJob("a", "Failed");
  for (int i = 0; i < 7; ++i) engine.Print("a", "algo-1", i, std::to_string(i));
  ScriptedWaiter waiter({});
  Recorder recorder;
  auto ended = Follow(engine, waiter, recorder);
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->status, "Failed");
  EXPECT_EQ(std::ranges::count_if(recorder.events, [](const auto& e) { return e.starts_with("line"); }), 7);
  EXPECT_TRUE(waiter.waits.empty());
}

TEST(JobFollower, AChangedMessageOfTheLastStatusIsToldAgain) {
  FakeEngine engine;
  auto& job = engine.AddJob("a");
  ScriptedWaiter waiter({[&] { job.SecondaryStatusTransitions.back().StatusMessage = "Still starting"; }});
  Recorder recorder;
  EXPECT_EQ(Follow(engine, waiter, recorder).error().kind, ErrorKind::kCancelled);
  EXPECT_THAT(recorder.events, ElementsAre("Starting Starting the training job", "Starting Still starting"));
}

TEST(JobFollower, SurvivesARestartOfTheEngineAndSaysSoOnce) {
  FakeEngine engine;
  auto& job = engine.AddJob("a");
  engine.Print("a", "algo-1", 1, "before");
  ScriptedWaiter waiter({[&] { engine.Down(); }, [] {}, [] {},
                         [&] {
                           engine.Up();
                           engine.Print("a", "algo-1", 2, "meanwhile");
                         },
                         [&] { job.TrainingJobStatus = "Completed"; }});
  Recorder recorder;
  ASSERT_TRUE(Follow(engine, waiter, recorder));
  EXPECT_THAT(recorder.events,
              ElementsAre("Starting Starting the training job", "line before", "lost", "line meanwhile", "found"));
}

TEST(JobFollower, GivesUpWhenTheEngineStaysAway) {
  FakeEngine engine;
  engine.AddJob("a");
  std::deque<std::function<void()>> steps = {[&] { engine.Down(); }};
  for (int i = 0; i < 10'000; ++i) steps.emplace_back([] {});
  ScriptedWaiter waiter(std::move(steps));
  Recorder recorder;
  auto ended = Follow(engine, waiter, recorder);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().kind, ErrorKind::kUnavailable);
  EXPECT_GE(waiter.MonotonicMs(), JobFollower::kGiveUpMs);
}

TEST(JobFollower, LooksEveryTenthOfASecondWhileLinesComeAndLessOftenInSilence) {
  FakeEngine engine;
  engine.AddJob("a");
  std::deque<std::function<void()>> steps;
  for (int i = 0; i < 40; ++i) steps.emplace_back([] {});
  ScriptedWaiter waiter(std::move(steps));
  Recorder recorder;
  Follow(engine, waiter, recorder);
  EXPECT_EQ(waiter.waits.front(), 100);
  EXPECT_EQ(waiter.waits.back(), 200);
}

TEST(TrainingJobs, AnUnknownNameIsNotFound) {
  FakeEngine engine;
  auto job = DescribeTrainingJob(engine, "nobody");
  ASSERT_FALSE(job);
  EXPECT_EQ(job.error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(job.error().message, "There is no training job named nobody.");
}

TEST(TrainingJobs, AnErrorOtherThanTheNameStaysWhatItIs) {
  FakeEngine engine;
  engine.Down();
  EXPECT_EQ(DescribeTrainingJob(engine, "a").error().kind, ErrorKind::kUnavailable);
}

TEST(TrainingJobs, ListsOverPagesUpToTheLimit) {
  FakeEngine engine;
  for (char c = 'a'; c <= 'g'; ++c) engine.AddJob(std::string("job-") + c, c < 'd' ? "Failed" : "Completed");
  EXPECT_THAT(ListTrainingJobs(engine, {.limit = 5}).value(), ElementsAre("job-g", "job-f", "job-e", "job-d", "job-c"));
  EXPECT_THAT(ListTrainingJobs(engine, {.status = "Failed"}).value(), ElementsAre("job-c", "job-b", "job-a"));
  EXPECT_THAT(ListTrainingJobs(engine, {.name_contains = "-e"}).value(), ElementsAre("job-e"));
}

TEST(TrainingJobs, ReadsWhatPeopleWantToKnow) {
  FakeEngine engine;
  auto& reply = engine.AddJob("a", "Failed", 2);
  reply.FailureReason = "ValueError: no data";
  reply.TrainingEndTime = wire::Timestamp{1'700'000'012'500};
  reply.HyperParameters = {{"epochs", "3"}};
  testing::sm::Channel channel{.ChannelName = "train"};
  channel.DataSource.S3DataSource.emplace();
  channel.DataSource.S3DataSource->S3DataType = "S3Prefix";
  channel.DataSource.S3DataSource->S3Uri = "s3://bucket/train";
  reply.InputDataConfig.push_back(channel);
  TrainingJob job = DescribeTrainingJob(engine, "a").value();
  EXPECT_TRUE(job.terminal());
  EXPECT_EQ(job.failure_reason, "ValueError: no data");
  EXPECT_EQ(job.instance_count, 2);
  EXPECT_EQ(job.instance_type, "ml.m5.large");
  EXPECT_EQ(job.DurationMs(1'800'000'000'000), 12'500);
  ASSERT_EQ(job.channels.size(), 1u);
  EXPECT_EQ(job.channels[0].s3_uri, "s3://bucket/train");
  EXPECT_EQ(job.channels[0].input_mode, "File");
  EXPECT_EQ(job.hyperparameters.at("epochs"), "3");
}

}  // namespace
}  // namespace sagebrush::client
