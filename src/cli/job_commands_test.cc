#include "cli/job_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "cli/command_testing.h"

namespace sagebrush::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Steps;

class JobCommands : public testing::CommandTest {
 protected:
  int Attach(const std::string& name, Steps steps = {}, Terminal::Traits traits = {}) {
    return Run([&](CommandContext& context) { return AttachJob(context, name, {}); }, std::move(steps), traits);
  }
};

TEST_F(JobCommands, AttachShowsTheLinesOfEachHostAndEndsWithTheOutcome) {
  auto& job = engine_.AddJob("a", "InProgress", 2);
  engine_.Print("a", "algo-1", 1, "one");
  engine_.Print("a", "algo-2", 2, "two");
  int code = Attach("a", {[&] {
                      engine_.Print("a", "algo-1", 3, "three");
                      job.TrainingJobStatus = "Completed";
                      job.TrainingEndTime = wire::Timestamp{1'700'000'012'000};
                    }});
  EXPECT_EQ(code, 0);
  EXPECT_EQ(Out(), "algo-1 | one\nalgo-2 | two\nalgo-1 | three\n");
  EXPECT_THAT(Err(), AllOf(HasSubstr("Starting - Starting the training job"), HasSubstr("a completed after 12.0s."),
                           HasSubstr("s3://bucket/a/output/model.tar.gz"), Not(HasSubstr("\033"))));
}

TEST_F(JobCommands, AttachTellsWhyAJobFailed) {
  engine_.AddJob("a", "Failed").FailureReason = "ValueError: no data";
  EXPECT_EQ(Attach("a"), 1);
  EXPECT_THAT(Err(), AllOf(HasSubstr("a failed after"), HasSubstr("reason: ValueError: no data"),
                           Not(HasSubstr("model.tar.gz"))));
}

TEST_F(JobCommands, AttachToAStoppedJob) {
  engine_.AddJob("a", "Stopped");
  EXPECT_EQ(Attach("a"), 3);
  EXPECT_THAT(Err(), HasSubstr("a was stopped after"));
}

TEST_F(JobCommands, AttachToAnUnknownJobSuggestsNames) {
  engine_.AddJob("digits-1");
  engine_.AddJob("mnist-1");
  EXPECT_EQ(Attach("digit-1"), 2);
  EXPECT_EQ(Out(), "");
  EXPECT_THAT(Err(), AllOf(HasSubstr("no training job named digit-1"), HasSubstr("Did you mean:\n  digits-1\n"),
                           Not(HasSubstr("mnist"))));
}

TEST_F(JobCommands, CtrlCDetachesAndSaysHowToComeBack) {
  engine_.AddJob("a");
  EXPECT_EQ(Attach("a", {[] {}}), 130);
  EXPECT_THAT(Err(), AllOf(HasSubstr("the job goes on"), HasSubstr("`sagebrush attach a`")));
  EXPECT_TRUE(engine_.stopped.empty());
}

TEST_F(JobCommands, AttachSurvivesAnEngineRestart) {
  auto& job = engine_.AddJob("a");
  engine_.Print("a", "algo-1", 1, "before");
  int code = Attach("a", {[&] { engine_.Down(); }, [] {},
                          [&] {
                            engine_.Up();
                            engine_.Print("a", "algo-1", 2, "after");
                            job.TrainingJobStatus = "Completed";
                          }});
  EXPECT_EQ(code, 0);
  EXPECT_EQ(Out(), "algo-1 | before\nalgo-1 | after\n");
  std::string err = Err();
  EXPECT_THAT(err, AllOf(HasSubstr("does not answer"), HasSubstr("the engine is back")));
  EXPECT_EQ(err.find("does not answer"), err.rfind("does not answer"));
}

TEST_F(JobCommands, AttachWithNoEngineFailsAtOnce) {
  engine_.Down();
  EXPECT_EQ(Attach("a"), 4);
}

TEST_F(JobCommands, ProgressAndColoursAreForTerminalsOnly) {
  engine_.AddJob("a");
  engine_.Print("a", "algo-1", 1, "one");
  Attach("a", {[] {}}, {.out_is_terminal = true, .err_is_terminal = true, .colour = true});
  EXPECT_EQ(Out(), "\033[36malgo-1 |\033[0m one\n");
  EXPECT_THAT(Err(), AllOf(HasSubstr("\r\033[K"), HasSubstr("a · Training · 1m 00s")));
}

TEST_F(JobCommands, LogsPrintsWhatThereIs) {
  engine_.AddJob("a");
  for (int i = 0; i < 5; ++i) engine_.Print("a", "algo-1", 1000 * i, std::to_string(i));
  EXPECT_EQ(Run([](CommandContext& c) { return PrintLogs(c, "a", {.hosts = false}); }), 0);
  EXPECT_EQ(Out(), "0\n1\n2\n3\n4\n");
  EXPECT_EQ(Err(), "");
  engine_.page_size = 10;
  EXPECT_EQ(Run([](CommandContext& c) {
              return PrintLogs(c, "a", {.selection = {.since_ms = 4000, .host = ""}, .timestamps = true});
            }),
            0);
  EXPECT_EQ(Out(), "algo-1 | 1970-01-01T00:00:04.000Z 4\n");
}

TEST_F(JobCommands, LogsFollowsToTheEnd) {
  auto& job = engine_.AddJob("a");
  engine_.Print("a", "algo-1", 1, "one");
  int code = Run([](CommandContext& c) { return PrintLogs(c, "a", {.follow = true}); }, {[&] {
                   engine_.Print("a", "algo-1", 2, "two");
                   job.TrainingJobStatus = "Failed";
                 }});
  EXPECT_EQ(code, 0);
  EXPECT_EQ(Out(), "algo-1 | one\nalgo-1 | two\n");
  EXPECT_EQ(Err(), "");
}

TEST_F(JobCommands, JobsAreATableOrJson) {
  engine_.AddJob("older", "Failed").TrainingEndTime = wire::Timestamp{1'700'000'002'500};
  engine_.AddJob("newer", "InProgress", 2);
  EXPECT_EQ(Run([](CommandContext& c) { return ListJobs(c, {}, false); }), 0);
  std::string table = Out();
  EXPECT_THAT(table, AllOf(HasSubstr("NAME   STATUS      SECONDARY  INSTANCES  TYPE"),
                           HasSubstr("newer  InProgress  Training   2          ml.m5.large"), HasSubstr("1m 00s\n"),
                           HasSubstr("older  Failed      Failed     1"), HasSubstr("2.5s\n")));
  EXPECT_LT(table.find("newer"), table.find("older"));

  EXPECT_EQ(Run([](CommandContext& c) { return ListJobs(c, {.status = "Failed"}, true); }), 0);
  auto parsed = boost::json::parse(Out());
  ASSERT_EQ(parsed.as_array().size(), 1u);
  EXPECT_EQ(parsed.at(0).at("TrainingJobName").as_string(), "older");
  EXPECT_EQ(parsed.at(0).at("DurationSeconds").as_double(), 2.5);
}

TEST_F(JobCommands, NoJobsIsSaidWithAHint) {
  EXPECT_EQ(Run([](CommandContext& c) { return ListJobs(c, {}, false); }), 0);
  EXPECT_EQ(Out(), "");
  EXPECT_THAT(Err(), HasSubstr("eval \"$(sagebrush env)\""));
  EXPECT_EQ(Run([](CommandContext& c) { return ListJobs(c, {}, true); }), 0);
  EXPECT_EQ(Out(), "[]\n");
}

TEST_F(JobCommands, DescribeTellsAll) {
  auto& job = engine_.AddJob("a", "Failed");
  job.FailureReason = "ValueError: \033[2J no data";
  job.HyperParameters = {{"epochs", "3"}, {"sagemaker_program", "\"train.py\""}};
  EXPECT_EQ(Run([](CommandContext& c) { return DescribeJob(c, "a", false); }), 0);
  EXPECT_THAT(Out(), AllOf(HasSubstr("a\n  ARN"), HasSubstr("Failed (Failed)"), HasSubstr("\\x1b[2J no data"),
                           HasSubstr("1 × ml.m5.large"), HasSubstr("Starting the training job"),
                           HasSubstr("Hyperparameters\n  epochs             3\n"), HasSubstr("1d 00h")));
  EXPECT_EQ(Run([](CommandContext& c) { return DescribeJob(c, "a", true); }), 0);
  EXPECT_EQ(boost::json::parse(Out()).at("HyperParameters").at("epochs").as_string(), "3");
  EXPECT_EQ(Run([](CommandContext& c) { return DescribeJob(c, "b", false); }), 2);
}

TEST_F(JobCommands, StopStopsOnceAndWaitsWhenAsked) {
  auto& job = engine_.AddJob("a");
  EXPECT_EQ(Run([](CommandContext& c) { return StopJob(c, "a", false); }), 0);
  EXPECT_THAT(engine_.stopped, ::testing::ElementsAre("a"));
  int code = Run([](CommandContext& c) { return StopJob(c, "a", true); },
                 {[&] { engine_.Down(); }, [&] { engine_.Up(); }, [&] { job.TrainingJobStatus = "Stopped"; }});
  EXPECT_EQ(code, 0);
  EXPECT_THAT(Err(), HasSubstr("a was stopped"));
  EXPECT_EQ(Out(), "");
}

TEST_F(JobCommands, StopOfAnEndedJobIsRefused) {
  engine_.AddJob("a", "Completed");
  EXPECT_EQ(Run([](CommandContext& c) { return StopJob(c, "a", false); }), 5);
  EXPECT_THAT(Err(), HasSubstr("a has ended already: Completed."));
  EXPECT_TRUE(engine_.stopped.empty());
  EXPECT_EQ(Run([](CommandContext& c) { return StopJob(c, "nobody", false); }), 2);
}

}  // namespace
}  // namespace sagebrush::cli
