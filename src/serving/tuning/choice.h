#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace sagebrush::serving {

// What the choice is for: the time of a lone request of one row; rows a second with batches on all cores; both.
enum class TuningGoal { kBalanced, kLatency, kThroughput };

// How TensorFlow computes in this process; the fields mean what they mean in TensorFlowOptions.
struct TensorFlowSetting {
  std::optional<bool> onednn;
  int intra_op_threads = 1;
  int inter_op_threads = -1;
  bool operator==(const TensorFlowSetting&) const = default;
};

// What a setting may be: a value that the user has set is not changed.
struct TuningSpace {
  std::optional<bool> onednn;
  std::optional<int> intra_op_threads, inter_op_threads;
  int cores = 1;
};

struct ModelSpeed {
  std::string model;
  double latency_ms = 0;       // of a run of one row, alone
  double rows_per_second = 0;  // of runs of many rows, one a core side by side
};

// A setting that was tried.
struct Trial {
  TensorFlowSetting setting;
  std::vector<ModelSpeed> speeds;  // the same models in every usable trial
  std::string unusable;            // why it cannot be used; empty: it can
};

// The settings to be tried first: oneDNN on and off, one thread and all in an operation, each run in its own thread.
// The simpler of two stands before the other.
std::vector<TensorFlowSetting> FirstSettings(const TuningSpace& space);
// Those to be tried then: the best so far with operations side by side.
std::vector<TensorFlowSetting> FurtherSettings(const TensorFlowSetting& best, const TuningSpace& space);

// The fastest usable trial by the goal, over all models (their geometric mean, so that none counts more because it is
// large); the earliest of those that are as good within kIndifference. nullptr when none is usable.
inline constexpr double kIndifference = 0.03;
const Trial* Best(std::span<const Trial> trials, TuningGoal goal);

}  // namespace sagebrush::serving
