#include "serving/tuning/autotune.h"

#include "base/log.h"
#include "base/text.h"
#include "io/subprocess.h"

namespace sagebrush::serving {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kTrialsInBudget = 3;      // that take as long as they may
constexpr size_t kMostLastWords = 400;  // of a process that failed

std::string_view OnOff(const TensorFlowSetting& setting) {
  return !setting.onednn ? "by TensorFlow" : *setting.onednn ? "on" : "off";
}

std::string_view GoalName(TuningGoal goal) {
  switch (goal) {
    case TuningGoal::kBalanced:
      return "balanced";
    case TuningGoal::kLatency:
      return "latency";
    case TuningGoal::kThroughput:
      return "throughput";
  }
  return "";
}

std::string LastWords(std::string_view output) {
  while (output.ends_with('\n')) output.remove_suffix(1);
  if (output.size() > kMostLastWords) output.remove_prefix(output.size() - kMostLastWords);
  return std::string(output);
}

class Tuner {
 public:
  explicit Tuner(const AutotuneOptions& options) : options_(options) {}

  std::optional<TensorFlowSetting> Run() {
    for (const TensorFlowSetting& setting : FirstSettings(options_.space)) {
      Try(setting);
      if (trials_.back().unusable.empty() && trials_.back().speeds.empty()) break;  // no model can be asked
    }
    if (const Trial* best = Best(trials_, options_.goal)) {
      for (const TensorFlowSetting& setting : FurtherSettings(best->setting, options_.space)) Try(setting);
    }
    const Trial* best = Best(trials_, options_.goal);
    if (best == nullptr) {
      Log(LogLevel::kWarning, "autotune_not_done",
          {{"reason", "no setting could be measured in time; nothing is changed. --autotune_seconds gives it more"}});
      return std::nullopt;
    }
    LogChoice(*best);
    return best->setting;
  }

 private:
  void Try(const TensorFlowSetting& setting) {
    Trial trial{.setting = setting};
    Result<Measurement> measurement = MeasureIn(setting);
    if (!measurement) {
      trial.unusable = measurement.error().message;
      Log(LogLevel::kWarning, "autotune_unusable",
          {{"onednn", OnOff(setting)},
           {"intra_op_threads", setting.intra_op_threads},
           {"inter_op_threads", setting.inter_op_threads},
           {"reason", trial.unusable}});
    } else {
      trial.speeds = measurement->speeds;
      for (const ModelSpeed& speed : trial.speeds) LogSpeed(setting, speed);
      if (trials_.empty()) LogSkipped(*measurement);
    }
    trials_.push_back(std::move(trial));
  }

  // A process that measures under the setting.
  Result<Measurement> MeasureIn(const TensorFlowSetting& setting) {
    auto left = std::chrono::duration_cast<std::chrono::seconds>(started_ + options_.budget - Clock::now());
    if (left <= std::chrono::seconds(0)) {
      return Fail(Error(ErrorKind::kDeadlineExceeded, "There was no time left to try it."));
    }
    auto most = std::max(std::chrono::seconds(1), std::chrono::seconds(options_.budget / kTrialsInBudget));
    io::Command command{.argv = {options_.program, "measure", "--tensorflow", options_.tensorflow_directory,
                                 "--tensorflow_intra_op_parallelism", std::to_string(setting.intra_op_threads),
                                 "--tensorflow_inter_op_parallelism", std::to_string(setting.inter_op_threads)},
                        .deadline = std::min(left, most)};
    if (setting.onednn) command.argv.insert(command.argv.end(), {"--onednn", *setting.onednn ? "true" : "false"});
    for (const MeasuredModel& model : options_.models) {
      command.argv.insert(command.argv.end(), {"--model", model.name + "=" + model.version_directory.native()});
    }
    TRY(io::CommandOutcome outcome, io::Run(command));
    std::optional<Measurement> measurement = FromOutput(outcome.output);
    if (outcome.exit_code == 0 && measurement) return *std::move(measurement);
    return Fail(Error(ErrorKind::kUnavailable,
                      fmt::format("Its process ended with code {}: {}", outcome.exit_code, LastWords(outcome.output))));
  }

  static void LogSpeed(const TensorFlowSetting& setting, const ModelSpeed& speed) {
    Log(LogLevel::kInfo, "autotune_measured",
        {{"model", speed.model},
         {"onednn", OnOff(setting)},
         {"intra_op_threads", setting.intra_op_threads},
         {"inter_op_threads", setting.inter_op_threads},
         {"one_row_us", static_cast<int64_t>(speed.latency_ms * 1000)},
         {"rows_per_second", static_cast<int64_t>(speed.rows_per_second)}});
  }

  static void LogSkipped(const Measurement& measurement) {
    for (const auto& [model, reason] : measurement.skipped) {
      Log(LogLevel::kWarning, "autotune_skipped",
          {{"model", model},
           {"reason", reason + " Put a recorded request into assets.extra/tf_serving_warmup_requests to have the "
                               "model measured."}});
    }
  }

  void LogChoice(const Trial& best) const {
    auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - started_);
    Log(LogLevel::kInfo, "autotune_chosen",
        {{"goal", GoalName(options_.goal)},
         {"onednn", OnOff(best.setting)},
         {"intra_op_threads", best.setting.intra_op_threads},
         {"inter_op_threads", best.setting.inter_op_threads},
         {"models", best.speeds.size()},
         {"trials", trials_.size()},
         {"ms", took.count()}});
  }

  const AutotuneOptions& options_;
  const Clock::time_point started_ = Clock::now();
  std::vector<Trial> trials_;
};

}  // namespace

std::optional<TensorFlowSetting> Autotune(const AutotuneOptions& options) {
  if (options.models.empty()) {
    Log(LogLevel::kWarning, "autotune_not_done", {{"reason", "no model is known at the start; nothing is changed"}});
    return std::nullopt;
  }
  return Tuner(options).Run();
}

}  // namespace sagebrush::serving
