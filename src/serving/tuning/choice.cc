#include "serving/tuning/choice.h"

#include <algorithm>
#include <cmath>

namespace sagebrush::serving {
namespace {

bool IsUsable(const Trial& trial) {
  return trial.unusable.empty() && !trial.speeds.empty() && std::ranges::all_of(trial.speeds, [](const auto& speed) {
           return speed.latency_ms > 0 && speed.rows_per_second > 0;
         });
}

// Higher is better.
double Score(const Trial& trial, TuningGoal goal) {
  double logarithms = 0;
  for (const ModelSpeed& speed : trial.speeds) {
    double runs = std::log(1 / speed.latency_ms), rows = std::log(speed.rows_per_second);
    logarithms += goal == TuningGoal::kLatency ? runs : goal == TuningGoal::kThroughput ? rows : (runs + rows) / 2;
  }
  return std::exp(logarithms / static_cast<double>(trial.speeds.size()));
}

}  // namespace

std::vector<TensorFlowSetting> FirstSettings(const TuningSpace& space) {
  std::vector<TensorFlowSetting> settings;
  for (int threads : {1, space.cores}) {
    for (bool onednn : {true, false}) {
      TensorFlowSetting setting{.onednn = space.onednn.value_or(onednn),
                                .intra_op_threads = space.intra_op_threads.value_or(threads),
                                .inter_op_threads = space.inter_op_threads.value_or(-1)};
      if (std::ranges::find(settings, setting) == settings.end()) settings.push_back(setting);
    }
  }
  return settings;
}

std::vector<TensorFlowSetting> FurtherSettings(const TensorFlowSetting& best, const TuningSpace& space) {
  if (space.inter_op_threads || space.cores == 1) return {};
  TensorFlowSetting side_by_side = best;
  side_by_side.inter_op_threads = space.cores;
  return {side_by_side};
}

const Trial* Best(std::span<const Trial> trials, TuningGoal goal) {
  double highest = 0;
  for (const Trial& trial : trials) {
    if (IsUsable(trial)) highest = std::max(highest, Score(trial, goal));
  }
  for (const Trial& trial : trials) {
    if (IsUsable(trial) && Score(trial, goal) >= highest * (1 - kIndifference)) return &trial;
  }
  return nullptr;
}

}  // namespace sagebrush::serving
