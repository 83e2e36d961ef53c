#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "driver/driver.h"
#include "io/file.h"

// The conformance kit: the numbered obligations of driver.h as one typed test suite. A driver's test instantiates it
// with a harness:
//   INSTANTIATE_TYPED_TEST_SUITE_P(Sandbox, DriverConformance, SandboxHarness);
// A harness is default-constructible and has
//   static std::string Unavailable();          // why it cannot run here; "" when it can
//   Driver& driver();
//   void Reopen();                             // driver() is now one as a new process of the engine would make it
//   InstanceSpec Spec(std::string id, Program program);
//   void LoseAgent(const InstanceId& id);      // kills what would record the outcome
//   void LetRun(const InstanceId& id);         // for machines where time stands still: runs the program as far as it
//                                              // goes
//   int Created(const InstanceId& id);         // how many instances ever ran under this id
//   void LetServe(const InstanceId& id);       // likewise: a program that kServes listens from now on
//   // Does in the program's name what Program::kKeeps does; nothing where programs are real.
//   void Keep(const InstanceId& id);
namespace sagebrush::driver {

enum class Program {
  kPrints,       // prints "line 0" to "line 99" and ends with 0
  kFails,        // ends with 3
  kWaits,        // prints "ready", ends at SIGTERM
  kIgnoresStop,  // prints "ready", ends at SIGKILL alone; the spec's grace is short
  kServes,       // sends back what connections to port 8080 send, prints "ready" when it listens, ends at SIGTERM
  kKeeps,        // appends "kept" to the file "state" of the checkpoints, prints "ready", ends at SIGTERM
};

template <class Harness>
class DriverConformance : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string reason = Harness::Unavailable();
    if (!reason.empty()) GTEST_SKIP() << reason;
    harness_ = std::make_unique<Harness>();
  }

  // Waits for a condition, for at most a minute.
  static bool Eventually(const std::function<bool()>& condition) {
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  Driver& driver() { return harness_->driver(); }

  InstanceStatus AwaitPhase(const InstanceId& id, Phase phase) {
    harness_->LetRun(id);
    InstanceStatus last;
    EXPECT_TRUE(Eventually([&] {
      Result<InstanceStatus> status = driver().Inspect(id);
      EXPECT_TRUE(status.has_value()) << status.error().message;
      if (!status) return true;
      last = *status;
      return last.phase == phase || last.phase == Phase::kEnded || last.phase == Phase::kLost;
    }));
    return last;
  }

  std::vector<std::string> Lines(const InstanceId& id, size_t limit_bytes = 1 << 20) {
    std::vector<std::string> lines;
    uint64_t offset = 0;
    int64_t last_ms = 0;
    while (true) {
      Result<LogChunk> chunk = driver().ReadLog(id, offset, limit_bytes);
      EXPECT_TRUE(chunk.has_value()) << chunk.error().message;
      if (!chunk || chunk->records.empty()) return lines;
      for (LogRecord& record : chunk->records) {
        EXPECT_GE(record.timestamp_ms, last_ms);
        last_ms = record.timestamp_ms;
        if (!record.line.starts_with("sagebrush:")) lines.push_back(std::move(record.line));
      }
      EXPECT_GT(chunk->next_offset, offset);
      offset = chunk->next_offset;
    }
  }

  // An endpoint's instance whose server is that program.
  InstanceSpec Service(const std::string& id, Program program) {
    InstanceSpec spec = harness_->Spec(id, program);
    spec.service.emplace();
    spec.service->command = std::move(spec.entrypoint);
    if (spec.service->command.empty()) spec.service->command = {"serve"};
    spec.entrypoint.clear();
    return spec;
  }

  // What comes back for `text`, sent through a connection into the instance.
  std::string Echoed(const InstanceId& id, uint16_t port, const std::string& text) {
    Result<io::UniqueFd> connection = driver().Connect(id, port);
    if (!connection) return connection.error().message;
    EXPECT_TRUE(io::WriteAll(connection->get(), text).has_value());
    std::string back;
    pollfd waiting{connection->get(), POLLIN, 0};
    while (back.size() < text.size() && ::poll(&waiting, 1, 60'000) == 1) {
      char bytes[256];
      ssize_t got = ::recv(connection->get(), bytes, sizeof bytes, 0);
      if (got <= 0) break;
      back.append(bytes, static_cast<size_t>(got));
    }
    return back;
  }

  void ExpectNoConnection(const InstanceId& id, uint16_t port, ErrorKind kind) {
    Result<io::UniqueFd> connection = driver().Connect(id, port);
    ASSERT_FALSE(connection.has_value());
    EXPECT_EQ(connection.error().kind, kind) << connection.error().message;
  }

  bool AwaitLine(const InstanceId& id, const std::string& line) {
    harness_->LetRun(id);
    return Eventually([&] {
      std::vector<std::string> lines = Lines(id);
      return std::find(lines.begin(), lines.end(), line) != lines.end();
    });
  }

  std::unique_ptr<Harness> harness_;
};

TYPED_TEST_SUITE_P(DriverConformance);

TYPED_TEST_P(DriverConformance, Obligation1StartIsIdempotentOnTheId) {
  InstanceSpec spec = this->harness_->Spec("one.1.0", Program::kPrints);
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  InstanceStatus ended = this->AwaitPhase(spec.id, Phase::kEnded);
  ASSERT_EQ(ended.phase, Phase::kEnded);
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  this->harness_->Reopen();
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  Result<InstanceStatus> after = this->driver().Inspect(spec.id);
  ASSERT_TRUE(after.has_value());
  EXPECT_EQ(after->phase, Phase::kEnded);
  EXPECT_EQ(after->ended_ms, ended.ended_ms);
  EXPECT_EQ(this->harness_->Created(spec.id), 1);
}

TYPED_TEST_P(DriverConformance, Obligation1ConcurrentStartsBringAboutOneInstance) {
  InstanceSpec spec = this->harness_->Spec("crowd.1.0", Program::kPrints);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { EXPECT_TRUE(this->driver().Start(spec).has_value()); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(this->AwaitPhase(spec.id, Phase::kEnded).phase, Phase::kEnded);
  EXPECT_EQ(this->harness_->Created(spec.id), 1);
}

TYPED_TEST_P(DriverConformance, Obligation2InstancesOutliveTheirStarter) {
  InstanceSpec spec = this->harness_->Spec("stays.1.0", Program::kWaits);
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  ASSERT_TRUE(this->AwaitLine(spec.id, "ready"));
  this->harness_->Reopen();
  Result<std::vector<InstanceStatus>> list = this->driver().List();
  ASSERT_TRUE(list.has_value());
  ASSERT_EQ(list->size(), 1u);
  EXPECT_EQ(list->front().id, spec.id);
  EXPECT_EQ(list->front().phase, Phase::kTraining);
  Result<InstanceStatus> status = this->driver().Inspect(spec.id);
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->phase, Phase::kTraining);
}

TYPED_TEST_P(DriverConformance, Obligation3TheOutcomeIsTold) {
  InstanceSpec good = this->harness_->Spec("good.1.0", Program::kPrints);
  InstanceSpec bad = this->harness_->Spec("bad.1.0", Program::kFails);
  ASSERT_TRUE(this->driver().Start(good).has_value());
  InstanceStatus ended = this->AwaitPhase(good.id, Phase::kEnded);
  EXPECT_TRUE(ended.succeeded) << ended.failure_reason;
  EXPECT_EQ(ended.failure_reason, "");
  EXPECT_FALSE(ended.model_archive.empty());
  EXPECT_LE(ended.started_ms, ended.training_started_ms);
  EXPECT_LE(ended.training_started_ms, ended.training_ended_ms);
  EXPECT_LE(ended.training_ended_ms, ended.ended_ms);
  ASSERT_TRUE(this->driver().Start(bad).has_value());
  ended = this->AwaitPhase(bad.id, Phase::kEnded);
  EXPECT_FALSE(ended.succeeded);
  EXPECT_EQ(ended.exit_code, 3);
  EXPECT_EQ(ended.signal, 0);
  EXPECT_NE(ended.failure_reason, "");
}

TYPED_TEST_P(DriverConformance, Obligation3ALostAgentIsLost) {
  InstanceSpec spec = this->harness_->Spec("lost.1.0", Program::kWaits);
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  ASSERT_TRUE(this->AwaitLine(spec.id, "ready"));
  this->harness_->LoseAgent(spec.id);
  EXPECT_EQ(this->AwaitPhase(spec.id, Phase::kLost).phase, Phase::kLost);
  // It stays so, and is not started anew.
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  Result<InstanceStatus> status = this->driver().Inspect(spec.id);
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->phase, Phase::kLost);
}

TYPED_TEST_P(DriverConformance, Obligation3UnknownIsNotFound) {
  Result<InstanceStatus> status = this->driver().Inspect(InstanceId("never.1.0"));
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().kind, ErrorKind::kNotFound);
  Result<LogChunk> log = this->driver().ReadLog(InstanceId("never.1.0"), 0, 100);
  ASSERT_FALSE(log.has_value());
  EXPECT_EQ(log.error().kind, ErrorKind::kNotFound);
}

TYPED_TEST_P(DriverConformance, Obligation4TheLogIsCompleteOnceEnded) {
  InstanceSpec spec = this->harness_->Spec("log.1.0", Program::kPrints);
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  ASSERT_EQ(this->AwaitPhase(spec.id, Phase::kEnded).phase, Phase::kEnded);
  std::vector<std::string> expected;
  for (int i = 0; i < 100; ++i) expected.push_back("line " + std::to_string(i));
  EXPECT_EQ(this->Lines(spec.id), expected);
  EXPECT_EQ(this->Lines(spec.id, 64), expected) << "in small pieces";
  this->harness_->Reopen();
  EXPECT_EQ(this->Lines(spec.id), expected) << "by another driver";
}

TYPED_TEST_P(DriverConformance, Obligation5StopEndsTheProgram) {
  InstanceSpec spec = this->harness_->Spec("stop.1.0", Program::kWaits);
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  ASSERT_TRUE(this->AwaitLine(spec.id, "ready"));
  ASSERT_TRUE(this->driver().Stop(spec.id, {spec.epoch, "StopTrainingJob"}).has_value());
  InstanceStatus ended = this->AwaitPhase(spec.id, Phase::kEnded);
  EXPECT_EQ(ended.phase, Phase::kEnded);
  EXPECT_TRUE(ended.stopped);
  EXPECT_FALSE(ended.model_archive.empty()) << "artifacts are made after a stop, too";
  EXPECT_TRUE(this->driver().Stop(spec.id, {spec.epoch, "again"}).has_value()) << "stopping an ended one succeeds";
}

TYPED_TEST_P(DriverConformance, Obligation5AfterTheGraceItIsKilled) {
  InstanceSpec spec = this->harness_->Spec("stubborn.1.0", Program::kIgnoresStop);
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  ASSERT_TRUE(this->AwaitLine(spec.id, "ready"));
  auto before = std::chrono::steady_clock::now();
  ASSERT_TRUE(this->driver().Stop(spec.id, {spec.epoch, "StopTrainingJob"}).has_value());
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(5)) << "returns at once";
  InstanceStatus ended = this->AwaitPhase(spec.id, Phase::kEnded);
  EXPECT_EQ(ended.phase, Phase::kEnded);
  EXPECT_EQ(ended.signal, 9);
  EXPECT_TRUE(ended.stopped);
}

TYPED_TEST_P(DriverConformance, Obligation6DestroyFreesEverything) {
  InstanceSpec spec = this->harness_->Spec("gone.1.0", Program::kWaits);
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  ASSERT_TRUE(this->AwaitLine(spec.id, "ready"));
  Result<void> destroyed = this->driver().Destroy(spec.id);
  ASSERT_TRUE(destroyed.has_value()) << destroyed.error().message;
  EXPECT_FALSE(this->driver().Inspect(spec.id).has_value());
  EXPECT_TRUE(this->driver().List()->empty());
  EXPECT_FALSE(std::filesystem::exists(this->driver().StagingDirectory(spec.id)));
  EXPECT_TRUE(this->driver().Destroy(spec.id).has_value());
  EXPECT_TRUE(this->driver().Destroy(InstanceId("never.1.0")).has_value());
  // The id is free again.
  InstanceSpec again = this->harness_->Spec("gone.1.0", Program::kPrints);
  ASSERT_TRUE(this->driver().Start(again).has_value());
  EXPECT_TRUE(this->AwaitPhase(again.id, Phase::kEnded).succeeded);
}

TYPED_TEST_P(DriverConformance, Obligation7LowerEpochsAreRefused) {
  InstanceSpec spec = this->harness_->Spec("epoch.1.0", Program::kWaits);
  spec.epoch = Epoch{5};
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  ASSERT_TRUE(this->AwaitLine(spec.id, "ready"));
  spec.epoch = Epoch{7};
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  this->harness_->Reopen();
  Result<void> stopped = this->driver().Stop(spec.id, {Epoch{6}, "an old engine"});
  ASSERT_FALSE(stopped.has_value());
  EXPECT_EQ(stopped.error().kind, ErrorKind::kFailedPrecondition);
  spec.epoch = Epoch{6};
  Result<void> started = this->driver().Start(spec);
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().kind, ErrorKind::kFailedPrecondition);
  EXPECT_EQ(this->driver().Inspect(spec.id)->phase, Phase::kTraining) << "nothing was done";
  EXPECT_EQ(this->driver().Inspect(spec.id)->epoch.value, 7);
}

TYPED_TEST_P(DriverConformance, Obligation8TheListenerHearsOfChanges) {
  std::mutex mutex;
  std::condition_variable heard;
  std::map<std::pair<InstanceId, News>, int> told;
  this->driver().SetListener([&](const InstanceId& id, News news) {
    std::lock_guard lock(mutex);
    ++told[{id, news}];
    heard.notify_all();
  });
  InstanceSpec spec = this->harness_->Spec("news.1.0", Program::kPrints);
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  this->harness_->LetRun(spec.id);
  {
    std::unique_lock lock(mutex);
    EXPECT_TRUE(heard.wait_for(lock, std::chrono::seconds(60), [&] {
      return told.contains({spec.id, News::kStatus}) && told.contains({spec.id, News::kLog});
    }));
  }
  this->AwaitPhase(spec.id, Phase::kEnded);
  this->driver().SetListener({});
  std::lock_guard lock(mutex);
  int status_calls = told[{spec.id, News::kStatus}];
  EXPECT_LE(status_calls, 12) << "two for each phase at most: a hundred lines are no news of the status";
}

TYPED_TEST_P(DriverConformance, Obligation9AHeldProgramWaitsForItsRelease) {
  InstanceSpec spec = this->harness_->Spec("held.1.0", Program::kPrints);
  spec.held = true;
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  InstanceStatus ready = this->AwaitPhase(spec.id, Phase::kReady);
  ASSERT_EQ(ready.phase, Phase::kReady);
  EXPECT_GE(ready.ready_ms, ready.started_ms);
  EXPECT_EQ(ready.training_started_ms, 0);
  EXPECT_TRUE(this->Lines(spec.id).empty());
  this->harness_->Reopen();
  ASSERT_TRUE(this->driver().Release(spec.id, spec.epoch).has_value());
  ASSERT_TRUE(this->driver().Release(spec.id, spec.epoch).has_value()) << "again";
  EXPECT_TRUE(this->AwaitPhase(spec.id, Phase::kEnded).succeeded);
  EXPECT_EQ(this->Lines(spec.id).size(), 100u);
  EXPECT_TRUE(this->driver().Release(spec.id, spec.epoch).has_value()) << "after its end";
}

TYPED_TEST_P(DriverConformance, Obligation9AHeldInstanceIsStoppedWithoutItsProgram) {
  InstanceSpec spec = this->harness_->Spec("unheld.1.0", Program::kPrints);
  spec.held = true;
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  ASSERT_EQ(this->AwaitPhase(spec.id, Phase::kReady).phase, Phase::kReady);
  ASSERT_TRUE(this->driver().Stop(spec.id, {spec.epoch, "StopTrainingJob"}).has_value());
  InstanceStatus ended = this->AwaitPhase(spec.id, Phase::kEnded);
  EXPECT_TRUE(ended.stopped);
  EXPECT_FALSE(ended.succeeded);
  EXPECT_EQ(ended.training_started_ms, 0);
  EXPECT_TRUE(this->Lines(spec.id).empty());
}

TYPED_TEST_P(DriverConformance, Obligation10CheckpointsAreSharedWithTheStarter) {
  InstanceSpec spec = this->harness_->Spec("keeps.1.0", Program::kKeeps);
  std::filesystem::path directory = this->driver().StagingDirectory(spec.id) / "checkpoints";
  ASSERT_TRUE(io::MakeDirectories(directory).has_value());
  ASSERT_TRUE(io::WriteFile(directory / "state", "before, ", 0666).has_value());
  // As the engine leaves it to the instance's users.
  std::filesystem::permissions(directory, std::filesystem::perms::all);
  std::filesystem::permissions(directory / "state", std::filesystem::perms(0666));
  spec.checkpoints = {directory, "/srv/kept/here"};
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  this->harness_->Keep(spec.id);
  ASSERT_TRUE(this->AwaitLine(spec.id, "ready"));
  EXPECT_EQ(io::ReadFile(directory / "state"), "before, kept");
  this->harness_->LoseAgent(spec.id);
  ASSERT_EQ(this->AwaitPhase(spec.id, Phase::kLost).phase, Phase::kLost);
  EXPECT_EQ(io::ReadFile(directory / "state"), "before, kept");
  ASSERT_TRUE(this->driver().Destroy(spec.id).has_value());
  EXPECT_FALSE(std::filesystem::exists(directory));
}

TYPED_TEST_P(DriverConformance, Obligation1AServiceWithWhatItHasNoUseForIsRefused) {
  const std::pair<const char*, std::function<void(InstanceSpec&)>> wrongs[] = {
      {"a command", [](InstanceSpec& spec) { spec.service->command.clear(); }},
      {"a port", [](InstanceSpec& spec) { spec.service->port = 0; }},
      {"model archive was not staged", [](InstanceSpec& spec) { spec.service->model_archive = "/nonexistent/model"; }},
      {"hyperparameters", [](InstanceSpec& spec) { spec.hyperparameters["x"] = "1"; }},
      {"an entry point", [](InstanceSpec& spec) { spec.arguments = {"x"}; }},
  };
  for (const auto& [named, make] : wrongs) {
    InstanceSpec spec = this->Service("wrong.1.0", Program::kServes);
    make(spec);
    Result<void> started = this->driver().Start(spec);
    ASSERT_FALSE(started.has_value()) << named;
    EXPECT_EQ(started.error().kind, ErrorKind::kInvalidArgument);
    EXPECT_NE(started.error().message.find(named), std::string::npos) << started.error().message;
    EXPECT_TRUE(this->driver().Destroy(spec.id).has_value());
  }
}

TYPED_TEST_P(DriverConformance, Obligation3AServiceThatEndsByItselfHasFailed) {
  for (Program program : {Program::kPrints, Program::kFails}) {
    InstanceSpec spec = this->Service("brief.1." + std::to_string(static_cast<int>(program)), program);
    ASSERT_TRUE(this->driver().Start(spec).has_value());
    InstanceStatus ended = this->AwaitPhase(spec.id, Phase::kEnded);
    EXPECT_EQ(ended.phase, Phase::kEnded);
    EXPECT_FALSE(ended.succeeded);
    EXPECT_FALSE(ended.stopped);
    EXPECT_NE(ended.failure_reason, "");
    EXPECT_EQ(ended.exit_code, program == Program::kFails ? 3 : 0);
    EXPECT_TRUE(ended.model_archive.empty());
    EXPECT_TRUE(ended.output_archive.empty());
  }
}

TYPED_TEST_P(DriverConformance, Obligation5AServiceSucceedsByItsStop) {
  for (Program program : {Program::kServes, Program::kIgnoresStop}) {
    InstanceSpec spec = this->Service("stop.1." + std::to_string(static_cast<int>(program)), program);
    ASSERT_TRUE(this->driver().Start(spec).has_value());
    ASSERT_TRUE(this->AwaitLine(spec.id, "ready"));
    ASSERT_TRUE(this->driver().Stop(spec.id, {spec.epoch, "DeleteEndpoint"}).has_value());
    InstanceStatus ended = this->AwaitPhase(spec.id, Phase::kEnded);
    EXPECT_EQ(ended.phase, Phase::kEnded);
    EXPECT_TRUE(ended.stopped);
    EXPECT_TRUE(ended.succeeded) << ended.failure_reason;
    EXPECT_EQ(ended.failure_reason, "");
    EXPECT_TRUE(ended.model_archive.empty()) << "a server leaves no artifacts";
  }
}

TYPED_TEST_P(DriverConformance, Obligation11ConnectReachesWhatListensInside) {
  InstanceSpec spec = this->Service("serves.1.0", Program::kServes);
  spec.held = true;
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  ASSERT_EQ(this->AwaitPhase(spec.id, Phase::kReady).phase, Phase::kReady);
  this->ExpectNoConnection(spec.id, 8080, ErrorKind::kUnavailable);  // it does not run yet
  ASSERT_TRUE(this->driver().Release(spec.id, spec.epoch).has_value());
  ASSERT_TRUE(this->AwaitLine(spec.id, "ready"));
  this->harness_->LetServe(spec.id);
  EXPECT_EQ(this->Echoed(spec.id, 8080, "hello"), "hello");
  this->ExpectNoConnection(spec.id, 8081, ErrorKind::kUnavailable);  // nothing listens there
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 8; ++caller) {
    callers.emplace_back([this, &spec, caller] {
      for (int call = 0; call < 25; ++call) {
        std::string text = "caller " + std::to_string(caller) + " call " + std::to_string(call);
        EXPECT_EQ(this->Echoed(spec.id, 8080, text), text);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  this->harness_->Reopen();
  EXPECT_EQ(this->Echoed(spec.id, 8080, "again"), "again") << "by another driver";
}

TYPED_TEST_P(DriverConformance, Obligation11NobodyListensInWhatHasEnded) {
  this->ExpectNoConnection(InstanceId("never.1.0"), 8080, ErrorKind::kNotFound);
  InstanceSpec spec = this->Service("served.1.0", Program::kServes);
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  ASSERT_TRUE(this->AwaitLine(spec.id, "ready"));
  this->harness_->LetServe(spec.id);
  Result<io::UniqueFd> open = this->driver().Connect(spec.id, 8080);
  ASSERT_TRUE(open.has_value()) << open.error().message;
  ASSERT_TRUE(this->driver().Stop(spec.id, {spec.epoch, "DeleteEndpoint"}).has_value());
  ASSERT_EQ(this->AwaitPhase(spec.id, Phase::kEnded).phase, Phase::kEnded);
  this->ExpectNoConnection(spec.id, 8080, ErrorKind::kUnavailable);
  ASSERT_TRUE(this->driver().Destroy(spec.id).has_value());
  this->ExpectNoConnection(spec.id, 8080, ErrorKind::kNotFound);
}

TYPED_TEST_P(DriverConformance, Obligation12UsageIsToldWhileItRuns) {
  InstanceSpec spec = this->harness_->Spec("uses.1.0", Program::kWaits);
  EXPECT_EQ(this->driver().Usage(spec.id).error().kind, ErrorKind::kNotFound);
  ASSERT_TRUE(this->driver().Start(spec).has_value());
  this->harness_->LetRun(spec.id);
  ASSERT_TRUE(this->AwaitLine(spec.id, "ready"));
  Result<InstanceUsage> usage = this->driver().Usage(spec.id);
  ASSERT_TRUE(usage.has_value()) << usage.error().message;
  EXPECT_GT(usage->cpu_ns, 0);
  EXPECT_LT(usage->cpu_ns, 60'000'000'000);
  EXPECT_GT(usage->memory_bytes, 0);
  EXPECT_GE(usage->disk_bytes, 0);
  ASSERT_TRUE(this->driver().Stop(spec.id, {spec.epoch, "StopTrainingJob"}).has_value());
  ASSERT_EQ(this->AwaitPhase(spec.id, Phase::kEnded).phase, Phase::kEnded);
  EXPECT_EQ(this->driver().Usage(spec.id).error().kind, ErrorKind::kNotFound);
}

REGISTER_TYPED_TEST_SUITE_P(
    DriverConformance, Obligation1StartIsIdempotentOnTheId, Obligation1ConcurrentStartsBringAboutOneInstance,
    Obligation2InstancesOutliveTheirStarter, Obligation3TheOutcomeIsTold, Obligation3ALostAgentIsLost,
    Obligation3UnknownIsNotFound, Obligation4TheLogIsCompleteOnceEnded, Obligation5StopEndsTheProgram,
    Obligation5AfterTheGraceItIsKilled, Obligation6DestroyFreesEverything, Obligation7LowerEpochsAreRefused,
    Obligation8TheListenerHearsOfChanges, Obligation9AHeldProgramWaitsForItsRelease,
    Obligation9AHeldInstanceIsStoppedWithoutItsProgram, Obligation10CheckpointsAreSharedWithTheStarter,
    Obligation1AServiceWithWhatItHasNoUseForIsRefused, Obligation3AServiceThatEndsByItselfHasFailed,
    Obligation5AServiceSucceedsByItsStop, Obligation11ConnectReachesWhatListensInside,
    Obligation11NobodyListensInWhatHasEnded, Obligation12UsageIsToldWhileItRuns);

}  // namespace sagebrush::driver
