#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "serving/backends/tensorflow/tensorflow_backend.h"
#include "serving/tuning/choice.h"

namespace sagebrush::serving {

// A model as it is measured: one of its versions.
struct MeasuredModel {
  std::string name;
  std::filesystem::path version_directory;
};

struct MeasureOptions {
  TensorFlowOptions tensorflow;
  std::vector<MeasuredModel> models;
  int cores = 1;  // runs side by side, for rows a second
};

struct Measurement {
  std::vector<ModelSpeed> speeds;
  std::vector<std::pair<std::string, std::string>> skipped;  // models that could not be asked anything, and why
};

// Loads TensorFlow into this process, as the options say, and measures one model after the other, each for about a
// second and at least one run of many rows. For a process of its own, for TensorFlow cannot be set up twice. An error
// where a model does not load or its first run fails.
Result<Measurement> Measure(const MeasureOptions& options);

// A line of text for the process that waits, and back; nullopt where `output` has no such line.
std::string ToLine(const Measurement& measurement);
std::optional<Measurement> FromOutput(std::string_view output);

}  // namespace sagebrush::serving
