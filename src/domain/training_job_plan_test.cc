#include "domain/training_job_plan.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

namespace sagebrush::domain {
namespace {

using Phase = ObservedInstance::Phase;

template <class T>
bool Has(const std::vector<Action>& actions) {
  return std::any_of(actions.begin(), actions.end(), [](const Action& a) { return std::holds_alternative<T>(a); });
}
template <class T>
const T* Find(const std::vector<Action>& actions) {
  for (const Action& action : actions) {
    if (const T* found = std::get_if<T>(&action)) return found;
  }
  return nullptr;
}

TrainingJobActual Nothing(size_t instances = 1) {
  TrainingJobActual actual;
  actual.instances.resize(instances);
  return actual;
}

TrainingJobState Started(int64_t now_ms = 1000) {
  TrainingJobState state = NewTrainingJobState(now_ms);
  state.admitted_ms = now_ms;
  state.start_intended = true;
  return state;
}

TEST(TrainingJobPlan, WaitsInPendingWithoutRoom) {
  TrainingJobState state = NewTrainingJobState(1000);
  std::vector<Action> actions = Plan({}, state, Nothing(), 1000);
  const auto* progress = Find<action::ShowProgress>(actions);
  ASSERT_NE(progress, nullptr);
  EXPECT_EQ(progress->status, SecondaryStatus::kPending);
  ASSERT_TRUE(Advance(state, SecondaryStatus::kPending, "", 1000));
  EXPECT_TRUE(Plan({}, state, Nothing(), 1000).empty());
}

TEST(TrainingJobPlan, CommitsTheIntentBeforeItStarts) {
  TrainingJobState state = NewTrainingJobState(1000);
  state.admitted_ms = 1000;
  TrainingJobActual actual = Nothing();
  actual.image = TrainingJobActual::Image::kReady;
  std::vector<Action> actions = Plan({}, state, actual, 1000);
  EXPECT_TRUE(Has<action::IntendStart>(actions));
  EXPECT_FALSE(Has<action::StartInstance>(actions));
}

TEST(TrainingJobPlan, StartsOnlyAbsentInstances) {
  TrainingJobActual actual = Nothing(3);
  actual.instances[1].phase = Phase::kStarting;
  std::vector<Action> actions = Plan({.instance_count = 3}, Started(), actual, 1000);
  std::vector<int> ranks;
  for (const Action& action : actions) {
    if (const auto* start = std::get_if<action::StartInstance>(&action)) ranks.push_back(start->rank);
  }
  EXPECT_EQ(ranks, (std::vector<int>{0, 2}));
}

TEST(TrainingJobPlan, FailsWithTheFirstFailureAndStopsItsPeers) {
  TrainingJobActual actual = Nothing(2);
  actual.instances[0] = {.phase = Phase::kTraining, .training_started_ms = 1100};
  actual.instances[1] = {.phase = Phase::kEnded, .ended_ms = 1200, .failure_reason = "ValueError: broken"};
  TrainingJobState state = Started();
  std::vector<Action> actions = Plan({.instance_count = 2}, state, actual, 1300);
  EXPECT_TRUE(Has<action::StopInstances>(actions));
  ASSERT_TRUE(Has<action::BeginStop>(actions));
  state.stop_cause = StopCause::kPeerFailed;
  actual.instances[0] = {.phase = Phase::kEnded, .stopped = true, .ended_ms = 1400, .failure_reason = "killed"};
  const std::vector<Action> decided = Plan({.instance_count = 2}, state, actual, 1500);
  const auto* decide = Find<action::Decide>(decided);
  ASSERT_NE(decide, nullptr);
  EXPECT_EQ(decide->outcome.status, TrainingJobStatus::kFailed);
  EXPECT_EQ(decide->outcome.failure_reason, "AlgorithmError: instance algo-2 failed: ValueError: broken");
}

TEST(TrainingJobPlan, StopsThePeersOfAFailedProgramBeforeItsArchivesAreMade) {
  TrainingJobActual actual = Nothing(2);
  actual.instances[0] = {.phase = Phase::kUploading, .program_failed = true, .training_ended_ms = 1200};
  actual.instances[1] = {.phase = Phase::kTraining, .training_started_ms = 1100};
  std::vector<Action> actions = Plan({.instance_count = 2}, Started(), actual, 1300);
  ASSERT_TRUE(Has<action::BeginStop>(actions));
  EXPECT_EQ(Find<action::BeginStop>(actions)->cause, StopCause::kPeerFailed);
  EXPECT_TRUE(Has<action::StopInstances>(actions));
  EXPECT_FALSE(Has<action::Decide>(actions));
}

std::string ReasonOf(const std::vector<ObservedInstance>& instances) {
  TrainingJobActual actual = Nothing();
  actual.instances = instances;
  const std::vector<Action> actions =
      Plan({.instance_count = static_cast<int>(instances.size())}, Started(), actual, 9000);
  const auto* decide = Find<action::Decide>(actions);
  return decide == nullptr ? "undecided" : decide->outcome.failure_reason;
}

TEST(TrainingJobPlan, TheProgramThatFailedFirstIsTheCauseWhoeverPackedFirst) {
  ObservedInstance large{
      .phase = Phase::kEnded, .training_ended_ms = 1200, .ended_ms = 5000, .failure_reason = "ValueError: broken"};
  ObservedInstance small{
      .phase = Phase::kEnded, .training_ended_ms = 1300, .ended_ms = 1350, .failure_reason = "peer is gone"};
  EXPECT_EQ(ReasonOf({small, large}), "AlgorithmError: instance algo-2 failed: ValueError: broken");
  EXPECT_EQ(ReasonOf({large, small}), "AlgorithmError: instance algo-1 failed: ValueError: broken");
}

TEST(TrainingJobPlan, ALostInstanceIsTheCauseOfItsPeersFailures) {
  ObservedInstance failed{
      .phase = Phase::kEnded, .training_ended_ms = 1300, .ended_ms = 1350, .failure_reason = "peer is gone"};
  ObservedInstance lost{.phase = Phase::kLost};
  EXPECT_NE(ReasonOf({failed, lost}).find("the agent of instance algo-2"), std::string::npos);
}

TEST(TrainingJobPlan, AReasonFitsTheInterface) {
  std::string long_reason;
  for (int i = 0; i < 1024; ++i) long_reason += "\u00e4";
  ObservedInstance failed{.phase = Phase::kEnded, .ended_ms = 1300, .failure_reason = long_reason};
  std::string reason = ReasonOf({failed});
  EXPECT_EQ(reason.size(), 16 + 2 * (1024 - 16));
  EXPECT_TRUE(reason.starts_with("AlgorithmError: \u00e4"));
}

TEST(TrainingJobPlan, ALostInstanceFailsTheJobWithWhatToDo) {
  TrainingJobActual actual = Nothing();
  actual.instances[0].phase = Phase::kLost;
  const std::vector<Action> actions = Plan({}, Started(), actual, 1300);
  const auto* decide = Find<action::Decide>(actions);
  ASSERT_NE(decide, nullptr);
  EXPECT_NE(decide->outcome.failure_reason.find("algo-1"), std::string::npos);
  EXPECT_NE(decide->outcome.failure_reason.find("Start the job again"), std::string::npos);
}

TEST(TrainingJobPlan, StopsAtMaxRuntimeCountedFromTheTrainingStart) {
  TrainingJobActual actual = Nothing();
  actual.instances[0] = {.phase = Phase::kTraining, .training_started_ms = 5000};
  TrainingJobState state = Started();
  state.training_started_ms = 5000;
  ASSERT_TRUE(Advance(state, SecondaryStatus::kTraining, "", 5000));
  TrainingJobLimits limits{.max_runtime_ms = 1000};
  EXPECT_FALSE(Has<action::BeginStop>(Plan(limits, state, actual, 5999)));
  std::vector<Action> actions = Plan(limits, state, actual, 6000);
  ASSERT_NE(Find<action::BeginStop>(actions), nullptr);
  EXPECT_EQ(Find<action::BeginStop>(actions)->cause, StopCause::kMaxRuntime);
}

TEST(TrainingJobPlan, AStoppedProgramThatFailsHasNotFailed) {
  TrainingJobState state = Started();
  state.stop_cause = StopCause::kRequested;
  TrainingJobActual actual = Nothing();
  actual.instances[0] = {.phase = Phase::kEnded, .stopped = true, .failure_reason = "killed by SIGTERM"};
  const std::vector<Action> actions = Plan({}, state, actual, 2000);
  const auto* decide = Find<action::Decide>(actions);
  ASSERT_NE(decide, nullptr);
  EXPECT_EQ(decide->outcome, (Outcome{TrainingJobStatus::kStopped, SecondaryStatus::kStopped, ""}));
}

ObservedInstance Lost() { return {.phase = Phase::kLost}; }
ObservedInstance Training() { return {.phase = Phase::kTraining, .training_started_ms = 1100}; }

TEST(TrainingJobPlan, ALossWithRetriesLeftEndsTheAttemptOfEveryHostAndNotTheJob) {
  TrainingJobLimits limits{.instance_count = 2, .max_retries = 1};
  TrainingJobState state = Started();
  TrainingJobActual actual = Nothing(2);
  actual.instances = {Training(), Lost()};
  std::vector<Action> actions = Plan(limits, state, actual, 1300);
  ASSERT_TRUE(Has<action::BeginRestart>(actions));
  EXPECT_FALSE(Has<action::BeginStop>(actions));
  EXPECT_NE(Find<action::BeginRestart>(actions)->reason.find("algo-2"), std::string::npos);
  ASSERT_TRUE(BeginRestart(state, false, "lost", 1300));
  actions = Plan(limits, state, actual, 1300);
  EXPECT_TRUE(Has<action::StopInstances>(actions));
  EXPECT_FALSE(Has<action::EndAttempt>(actions));
  actual.instances[0] = {.phase = Phase::kEnded, .stopped = true};
  EXPECT_TRUE(Has<action::EndAttempt>(Plan(limits, state, actual, 1400)));
  BeginAttempt(state, 1400);
  actual = Nothing(2);
  actual.image = TrainingJobActual::Image::kReady;
  EXPECT_TRUE(Plan(limits, state, actual, 1450).empty()) << "not at once";
  EXPECT_TRUE(Has<action::IntendStart>(Plan(limits, state, actual, 1500)));
  state.start_intended = true;
  actual.instances = {Training(), Lost()};
  EXPECT_TRUE(Has<action::BeginStop>(Plan(limits, state, actual, 1600))) << "the retries are used up";
}

TEST(TrainingJobPlan, AFailedProgramIsNotRetried) {
  TrainingJobActual actual = Nothing();
  actual.instances[0] = {.phase = Phase::kEnded, .ended_ms = 1200, .failure_reason = "ValueError: broken"};
  for (const TrainingJobLimits& limits :
       {TrainingJobLimits{.max_retries = 30}, TrainingJobLimits{.max_wait_ms = 1'000'000, .spot = true}}) {
    const std::vector<Action> actions = Plan(limits, Started(), actual, 1300);
    ASSERT_TRUE(Has<action::Decide>(actions));
    EXPECT_EQ(Find<action::Decide>(actions)->outcome.failure_reason, "AlgorithmError: ValueError: broken");
  }
}

TEST(TrainingJobPlan, ABrokenInstanceIsTheServicesFailure) {
  TrainingJobActual actual = Nothing();
  actual.instances[0] = {.phase = Phase::kEnded, .machine_failed = true, .failure_reason = "Its init died."};
  const std::vector<Action> failed = Plan({}, Started(), actual, 1300);
  EXPECT_EQ(Find<action::Decide>(failed)->outcome.failure_reason,
            "InternalServerError: instance algo-1 broke: Its init died. Start the job again; if it happens every time, "
            "'sagebrush doctor' tells what this machine lacks.");
  actual.instances[0].failure_reason = "cannot make a user namespace: Operation not permitted";
  const std::vector<Action> refused = Plan({}, Started(), actual, 1300);
  EXPECT_NE(Find<action::Decide>(refused)->outcome.failure_reason.find("not permitted. Start the job again"),
            std::string::npos);
  EXPECT_TRUE(Has<action::BeginRestart>(Plan({.max_retries = 1}, Started(), actual, 1300)));
}

TEST(TrainingJobPlan, ASpotJobIsRestartedUntilItsWaitIsOver) {
  TrainingJobLimits limits{.max_wait_ms = 10'000, .spot = true};
  TrainingJobState state = Started();
  state.attempt = 20;
  TrainingJobActual actual = Nothing();
  actual.instances[0] = Lost();
  EXPECT_TRUE(Has<action::BeginRestart>(Plan(limits, state, actual, 5000)));
  ASSERT_TRUE(BeginRestart(state, true, "lost", 5000));
  EXPECT_EQ(Find<action::BeginStop>(Plan(limits, state, actual, 11'000))->cause, StopCause::kMaxWait);
  BeginAttempt(state, 5000);
  const std::vector<Action> over = Plan(limits, state, Nothing(), 11'000);
  EXPECT_EQ(Find<action::Decide>(over)->outcome.secondary, SecondaryStatus::kMaxWaitTimeExceeded);
}

TEST(TrainingJobPlan, TheWaitOfASpotJobEndsARunningOne) {
  TrainingJobActual actual = Nothing();
  actual.instances[0] = Training();
  const std::vector<Action> actions = Plan({.max_wait_ms = 500, .spot = true}, Started(), actual, 1600);
  ASSERT_TRUE(Has<action::BeginStop>(actions));
  EXPECT_EQ(Find<action::BeginStop>(actions)->cause, StopCause::kMaxWait);
}

TEST(TrainingJobPlan, AStopDuringARestartEndsTheJob) {
  TrainingJobLimits limits{.max_retries = 5};
  TrainingJobState state = Started();
  ASSERT_TRUE(BeginRestart(state, false, "lost", 1300));
  state.stop_cause = StopCause::kRequested;
  TrainingJobActual actual = Nothing();
  actual.instances[0] = Lost();
  const std::vector<Action> actions = Plan(limits, state, actual, 1400);
  ASSERT_TRUE(Has<action::Decide>(actions));
  EXPECT_EQ(Find<action::Decide>(actions)->outcome.status, TrainingJobStatus::kStopped);
}

TEST(TrainingJobPlan, TheProgramsOfAGangBeginWhenEveryInstanceIsReady) {
  TrainingJobLimits limits{.instance_count = 3};
  TrainingJobActual actual = Nothing(3);
  for (ObservedInstance& instance : actual.instances) instance = {.phase = Phase::kReady, .ready_ms = 1100};
  actual.instances[1].phase = Phase::kDownloading;
  EXPECT_FALSE(Has<action::ReleaseInstance>(Plan(limits, Started(), actual, 1200)));
  actual.instances[1].phase = Phase::kReady;
  std::vector<Action> actions = Plan(limits, Started(), actual, 1200);
  EXPECT_EQ(std::count_if(actions.begin(), actions.end(),
                          [](const Action& a) { return std::holds_alternative<action::ReleaseInstance>(a); }),
            3);
  actual.instances[0] = Training();  // a crash came between the releases
  EXPECT_TRUE(Has<action::ReleaseInstance>(Plan(limits, Started(), actual, 1200)));
}

TEST(TrainingJobPlan, AGangThatIsNotCompleteInTimeFailsAndNamesTheHost) {
  TrainingJobLimits limits{.instance_count = 3, .gang_wait_ms = 60'000};
  TrainingJobActual actual = Nothing(3);
  actual.instances[0] = {.phase = Phase::kReady, .ready_ms = 5000};
  actual.instances[1] = {.phase = Phase::kDownloading};
  actual.instances[2] = {.phase = Phase::kReady, .ready_ms = 9000};
  TrainingJobState state = Started();
  EXPECT_FALSE(Has<action::BeginStop>(Plan(limits, state, actual, 64'999)));
  std::vector<Action> actions = Plan(limits, state, actual, 65'000);
  ASSERT_TRUE(Has<action::BeginStop>(actions));
  state.stop_cause = Find<action::BeginStop>(actions)->cause;
  state.stop_reason = Find<action::BeginStop>(actions)->reason;
  EXPECT_EQ(state.stop_cause, StopCause::kStartTimeout);
  EXPECT_TRUE(Has<action::StopInstances>(Plan(limits, state, actual, 65'001)));
  for (ObservedInstance& instance : actual.instances) instance = {.phase = Phase::kEnded, .stopped = true};
  const std::vector<Action> decided = Plan(limits, state, actual, 65'002);
  ASSERT_TRUE(Has<action::Decide>(decided));
  const Outcome& outcome = Find<action::Decide>(decided)->outcome;
  EXPECT_EQ(outcome.status, TrainingJobStatus::kFailed);
  EXPECT_TRUE(outcome.failure_reason.starts_with(
      "InternalServerError: instance algo-2 was not ready to start within 60 s after the first of 3 was"))
      << outcome.failure_reason;
  EXPECT_NE(outcome.failure_reason.find("being installed"), std::string::npos);
}

// A small world that carries plans out, with the engine dying at any moment: between a commit and its effect, and
// between an effect and what follows. Instances live on; memory is lost; the recorded state stays.
struct World {
  TrainingJobLimits limits;
  TrainingJobState state = NewTrainingJobState(1);
  std::vector<ObservedInstance> instances;
  std::vector<int> starts;
  bool image_ready = false, stop_requested = false, staging_fails = false;
  bool cut_short = false;  // an EndAttempt that comes now is interrupted before its commit
  int64_t now_ms = 1;

  TrainingJobActual Actual() const {
    TrainingJobActual actual;
    actual.has_room = true;
    actual.image = image_ready ? TrainingJobActual::Image::kReady : TrainingJobActual::Image::kPreparing;
    if (staging_fails && state.start_intended) actual.staging_failure = "ClientError: no data";
    actual.instances = instances;
    return actual;
  }

  void Apply(const Action& action) {
    if (std::holds_alternative<action::Admit>(action)) state.admitted_ms = now_ms;
    if (const auto* step = std::get_if<action::ShowProgress>(&action)) {
      RC_ASSERT(Advance(state, step->status, step->message, now_ms).has_value());
    }
    if (std::holds_alternative<action::IntendStart>(action)) state.start_intended = true;
    if (const auto* step = std::get_if<action::StartInstance>(&action)) {
      RC_ASSERT(state.start_intended);
      size_t rank = static_cast<size_t>(step->rank);
      if (staging_fails) return;
      ++starts[rank];
      RC_ASSERT(starts[rank] == 1);
      instances[rank].phase = Phase::kStarting;
    }
    if (const auto* step = std::get_if<action::ReleaseInstance>(&action)) {
      // All or none.
      for (const ObservedInstance& instance : instances) RC_ASSERT(instance.phase >= Phase::kReady);
      ObservedInstance& instance = instances[static_cast<size_t>(step->rank)];
      RC_ASSERT(instance.phase == Phase::kReady);
      instance.phase = Phase::kTraining;
      instance.training_started_ms = now_ms;
    }
    if (const auto* step = std::get_if<action::RecordTrainingStart>(&action)) {
      state.attempt_training_started_ms = step->at_ms;
      if (state.training_started_ms == 0) state.training_started_ms = step->at_ms;
    }
    if (const auto* step = std::get_if<action::BeginRestart>(&action)) {
      RC_ASSERT(step->reason.starts_with("InternalServerError:"));
      RC_ASSERT(BeginRestart(state, limits.spot, step->reason, now_ms).has_value());
    }
    if (std::holds_alternative<action::EndAttempt>(action)) {
      for (const ObservedInstance& instance : instances) {
        RC_ASSERT(instance.phase == Phase::kAbsent || instance.phase >= Phase::kEnded);
      }
      instances.assign(instances.size(), {});
      starts.assign(starts.size(), 0);
      if (cut_short) return;  // the engine dies between the destruction and the commit
      BeginAttempt(state, now_ms);
      RC_ASSERT(limits.spot || state.attempt <= limits.max_retries + 1);
    }
    if (const auto* step = std::get_if<action::BeginStop>(&action)) {
      state.stop_cause = step->cause;
      state.stop_reason = step->reason;
      RC_ASSERT(Advance(state, std::max(state.secondary(), SecondaryStatus::kStopping), "", now_ms).has_value());
    }
    if (std::holds_alternative<action::StopInstances>(action)) {
      for (ObservedInstance& instance : instances) {
        if (instance.phase > Phase::kAbsent && instance.phase < Phase::kEnded) instance.stopped = true;
      }
    }
    if (const auto* step = std::get_if<action::Decide>(&action)) {
      RC_ASSERT(!state.outcome.has_value());
      state.outcome = step->outcome;
    }
    if (std::holds_alternative<action::PublishArtifacts>(action)) state.artifacts_published = true;
    if (std::holds_alternative<action::FinishJob>(action)) RC_ASSERT(Finish(state, now_ms).has_value());
    if (std::holds_alternative<action::DestroyInstances>(action)) {
      RC_ASSERT(IsFinal(state.status));
      state.instances_destroyed = true;
    }
  }

  // Something happens outside the engine.
  void Happen(int what, size_t rank) {
    ObservedInstance& instance = instances[rank % instances.size()];
    bool alive = instance.phase > Phase::kAbsent && instance.phase < Phase::kEnded;
    if (what == 0) image_ready = true;
    if (what == 1 && !stop_requested && !IsFinal(state.status) && !state.outcome &&
        state.stop_cause == StopCause::kNone) {
      stop_requested = true;
      state.stop_cause = StopCause::kRequested;
      RC_ASSERT(Advance(state, std::max(state.secondary(), SecondaryStatus::kStopping), "", now_ms).has_value());
    }
    if (what == 2 && alive) instance.phase = Phase::kLost;
    // A program of a gang begins by a release alone; a stop ends an instance that waits for it.
    bool held = instance.phase == Phase::kReady && instances.size() > 1;
    if (what >= 3 && held && instance.stopped) instance.phase = Phase::kUploading;
    if (what >= 3 && alive && (!held || instance.stopped)) {
      instance.phase = static_cast<Phase>(static_cast<int>(instance.phase) + 1);
      if (instance.phase == Phase::kReady) instance.ready_ms = now_ms;
      if (instance.phase == Phase::kTraining) instance.training_started_ms = now_ms;
      if (instance.phase == Phase::kUploading) instance.program_failed = what % 2 == 1;
      if (instance.phase == Phase::kEnded) {
        instance.machine_failed = what == 11 && !instance.program_failed;
        instance.succeeded = what % 2 == 0 && !instance.stopped && !instance.program_failed;
        instance.training_ended_ms = instance.ended_ms = now_ms;
        if (!instance.succeeded) instance.failure_reason = "boom";
        instance.program_failed = false;
      }
    }
  }
};

RC_GTEST_PROP(TrainingJobPlanProperty, EveryJobEndsOnceWhateverHappensAndWheneverTheEngineDies, ()) {
  World world;
  world.limits.instance_count = *rc::gen::inRange(1, 4);
  world.limits.max_runtime_ms = *rc::gen::inRange(5, 200);
  world.limits.gang_wait_ms = *rc::gen::inRange(3, 100);
  world.limits.max_retries = *rc::gen::inRange(0, 3);
  world.limits.spot = *rc::gen::inRange(0, 3) == 0;
  if (world.limits.spot) world.limits.max_wait_ms = *rc::gen::inRange(200, 1000);
  world.instances.resize(static_cast<size_t>(world.limits.instance_count));
  world.starts.resize(world.instances.size());
  world.staging_fails = *rc::gen::inRange(0, 8) == 0;
  auto events = *rc::gen::container<std::vector<std::pair<int, int>>>(
      rc::gen::pair(rc::gen::inRange(0, 12), rc::gen::inRange(0, 8)));

  auto reconcile = [&world](int steps_until_crash) {
    for (int round = 0; round < 50; ++round) {
      std::vector<Action> actions = Plan(world.limits, world.state, world.Actual(), world.now_ms);
      if (actions.empty()) return;
      bool changed = false;
      for (const Action& action : actions) {
        if (steps_until_crash-- == 0) return;  // the engine dies before this step
        changed |= !std::holds_alternative<action::StopInstances>(action) &&
                   !std::holds_alternative<action::PrepareImage>(action);
        world.Apply(action);
      }
      if (!changed) return;
    }
    RC_FAIL("the plan never settles");
  };

  for (const auto& [what, rank] : events) {
    world.now_ms += 3;
    world.Happen(what, static_cast<size_t>(rank));
    world.cut_short = what == 6;
    reconcile(what == 5 || what == 6 ? rank : 1000);
    world.cut_short = false;
  }
  // Left alone, everything comes to its end.
  world.image_ready = true;
  for (int round = 0; round < 200 && !world.state.instances_destroyed; ++round) {
    world.now_ms += 60;  // past any delay of a restart
    reconcile(1000);
    for (size_t rank = 0; rank < world.instances.size(); ++rank) world.Happen(4, rank);
  }
  RC_ASSERT(world.state.instances_destroyed);
  RC_ASSERT(IsFinal(world.state.status));
  RC_ASSERT(IsFinal(world.state.secondary()));
  for (size_t i = 1; i < world.state.transitions.size(); ++i) {
    SecondaryStatus before = world.state.transitions[i - 1].status, after = world.state.transitions[i].status;
    bool again = after == SecondaryStatus::kInterrupted || after == SecondaryStatus::kRestarting;
    RC_ASSERT(before < after || (again && before <= SecondaryStatus::kTraining));
    RC_ASSERT(world.state.transitions[i - 1].end_ms == world.state.transitions[i].start_ms);
  }
  if (world.state.status == TrainingJobStatus::kCompleted) {
    for (const ObservedInstance& instance : world.instances) RC_ASSERT(instance.succeeded);
  }
  if (world.state.status == TrainingJobStatus::kFailed) RC_ASSERT(!world.state.failure_reason().empty());
  RC_ASSERT(Plan(world.limits, world.state, world.Actual(), world.now_ms).empty());
}

}  // namespace
}  // namespace sagebrush::domain
