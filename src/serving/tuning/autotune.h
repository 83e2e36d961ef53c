#pragma once

#include <chrono>
#include <filesystem>
#include <optional>

#include "serving/tuning/choice.h"
#include "serving/tuning/measure.h"

namespace sagebrush::serving {

struct AutotuneOptions {
  TuningGoal goal = TuningGoal::kBalanced;
  // Of all trials together. One that takes more than a third of it counts as hanging.
  std::chrono::seconds budget{60};
  std::filesystem::path tensorflow_directory;
  std::vector<MeasuredModel> models;
  TuningSpace space;
  std::string program = "/proc/self/exe";  // run as `program measure FLAGS`: this binary
};

// Finds how TensorFlow computes these models fastest. oneDNN's switch is read once a process and the threads within
// operations are one pool, so every setting is tried in a process of its own, one after the other, before this process
// loads TensorFlow. One that crashes, hangs or cannot load a model is not chosen. Logs each trial with its numbers
// (autotune_measured, autotune_unusable), each model that could not be asked (autotune_skipped) and the choice
// (autotune_chosen). nullopt, with a log line that says why, when nothing could be measured.
std::optional<TensorFlowSetting> Autotune(const AutotuneOptions& options);

}  // namespace sagebrush::serving
