#include <boost/json.hpp>

#include "domain/training_job.h"

namespace sagebrush::domain {
namespace {

namespace json = boost::json;

constexpr std::string_view kStopCauses[] = {"none",     "requested",   "max_runtime",
                                            "max_wait", "peer_failed", "start_timeout"};

json::object TransitionJson(const Transition& transition) {
  return {{"status", ToString(transition.status)},
          {"start_ms", transition.start_ms},
          {"end_ms", transition.end_ms},
          {"message", transition.message}};
}

SecondaryStatus RequiredSecondary(const json::value& value) {
  std::optional<SecondaryStatus> status = ParseSecondaryStatus(std::string_view(value.as_string()));
  if (!status) throw std::out_of_range("secondary status");
  return *status;
}

TrainingJobStatus RequiredStatus(const json::value& value) {
  std::optional<TrainingJobStatus> status = ParseTrainingJobStatus(std::string_view(value.as_string()));
  if (!status) throw std::out_of_range("status");
  return *status;
}

StopCause RequiredStopCause(const json::value& value) {
  for (size_t i = 0; i < std::size(kStopCauses); ++i) {
    if (kStopCauses[i] == std::string_view(value.as_string())) return static_cast<StopCause>(i);
  }
  throw std::out_of_range("stop cause");
}

// Fields that rows of earlier versions lack.
template <class T>
void ReadIfThere(const json::object& object, std::string_view key, T& out) {
  if (const json::value* value = object.if_contains(key)) out = json::value_to<T>(*value);
}

TrainingJobState Read(const json::object& object) {
  TrainingJobState state;
  state.status = RequiredStatus(object.at("status"));
  for (const json::value& entry : object.at("transitions").as_array()) {
    const json::object& fields = entry.as_object();
    state.transitions.push_back({RequiredSecondary(fields.at("status")), fields.at("start_ms").as_int64(),
                                 fields.at("end_ms").as_int64(), std::string(fields.at("message").as_string())});
  }
  if (state.transitions.empty()) throw std::out_of_range("transitions");
  state.created_ms = object.at("created_ms").as_int64();
  state.modified_ms = object.at("modified_ms").as_int64();
  state.admitted_ms = object.at("admitted_ms").as_int64();
  state.training_started_ms = object.at("training_started_ms").as_int64();
  state.training_ended_ms = object.at("training_ended_ms").as_int64();
  state.attempt = static_cast<int>(object.at("attempt").as_int64());
  state.attempt_training_started_ms = state.training_started_ms;  // of one attempt
  ReadIfThere(object, "attempt_training_started_ms", state.attempt_training_started_ms);
  ReadIfThere(object, "attempt_ended_ms", state.attempt_ended_ms);
  ReadIfThere(object, "restarting", state.restarting);
  ReadIfThere(object, "stop_reason", state.stop_reason);
  ReadIfThere(object, "checkpoint_failure", state.checkpoint_failure);
  state.start_intended = object.at("start_intended").as_bool();
  state.stop_cause = RequiredStopCause(object.at("stop_cause"));
  if (const json::value* outcome = object.if_contains("outcome")) {
    const json::object& fields = outcome->as_object();
    state.outcome = Outcome{RequiredStatus(fields.at("status")), RequiredSecondary(fields.at("secondary")),
                            std::string(fields.at("failure_reason").as_string())};
  }
  state.artifacts_published = object.at("artifacts_published").as_bool();
  state.model_artifacts = std::string(object.at("model_artifacts").as_string());
  state.instances_destroyed = object.at("instances_destroyed").as_bool();
  return state;
}

}  // namespace

std::string ToJson(const TrainingJobState& state) {
  json::array transitions;
  for (const Transition& transition : state.transitions) transitions.push_back(TransitionJson(transition));
  json::object object{{"status", ToString(state.status)},
                      {"transitions", std::move(transitions)},
                      {"created_ms", state.created_ms},
                      {"modified_ms", state.modified_ms},
                      {"admitted_ms", state.admitted_ms},
                      {"training_started_ms", state.training_started_ms},
                      {"training_ended_ms", state.training_ended_ms},
                      {"attempt", state.attempt},
                      {"attempt_training_started_ms", state.attempt_training_started_ms},
                      {"attempt_ended_ms", state.attempt_ended_ms},
                      {"start_intended", state.start_intended},
                      {"restarting", state.restarting},
                      {"stop_cause", kStopCauses[static_cast<size_t>(state.stop_cause)]},
                      {"stop_reason", state.stop_reason},
                      {"checkpoint_failure", state.checkpoint_failure},
                      {"artifacts_published", state.artifacts_published},
                      {"model_artifacts", state.model_artifacts},
                      {"instances_destroyed", state.instances_destroyed}};
  if (state.outcome) {
    object["outcome"] = json::object{{"status", ToString(state.outcome->status)},
                                     {"secondary", ToString(state.outcome->secondary)},
                                     {"failure_reason", state.outcome->failure_reason}};
  }
  return json::serialize(object);
}

Result<TrainingJobState> TrainingJobStateFromJson(std::string_view text) {
  // Boost.JSON reports a wrong form by exceptions; they end here.
  try {
    return Read(json::parse(text).as_object());
  } catch (const std::exception& error) {
    return Fail(Error(ErrorKind::kDataLoss, std::string("a stored training job state is damaged: ") + error.what()));
  }
}

}  // namespace sagebrush::domain
