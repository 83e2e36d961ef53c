#include "serving/server/autotuned.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/log.h"
#include "io/cores.h"
#include "serving/backends/tensorflow/tensorflow_backend.h"
#include "serving/lifecycle/version_directory.h"
#include "serving/tuning/autotune.h"

namespace sagebrush::serving {
namespace {

// The newest wanted version of each; models that have none are left to the load, which says why.
std::vector<MeasuredModel> ModelsToMeasure(std::vector<ModelConfig> configs) {
  std::ranges::sort(configs, {}, &ModelConfig::name);
  std::vector<MeasuredModel> models;
  for (const ModelConfig& config : configs) {
    Result<std::map<int64_t, std::filesystem::path>> present = ListVersions(config.base_path);
    std::vector<int64_t> wanted = present ? AspiredVersions(*present, config.policy) : std::vector<int64_t>{};
    if (!wanted.empty() && models.size() < kMostTunedModels) {
      models.push_back({config.name, present->at(wanted.front())});
    }
  }
  return models;
}

// TensorFlow's own switch, set by the user.
std::optional<bool> OnednnOfEnvironment() {
  const char* value = std::getenv("TF_ENABLE_ONEDNN_OPTS");
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string_view(value) != "0" && std::string_view(value) != "false";
}

}  // namespace

void Autotune(ServerOptions& options) {
  if (options.tensorflow_directory.empty()) {
    Result<std::filesystem::path> found = FindTensorFlowLibrary();
    if (!found) return;  // what comes next says so
    options.tensorflow_directory = *found;
  }
  AutotuneOptions tuning{
      .goal = *options.autotune,
      .budget = options.autotune_budget,
      .tensorflow_directory = options.tensorflow_directory,
      .models = ModelsToMeasure(options.models),
      .space = {.onednn = options.onednn ? options.onednn : OnednnOfEnvironment(), .cores = io::UsableCores()}};
  if (options.threads_given) {
    tuning.space.intra_op_threads = options.intra_op_threads;
    tuning.space.inter_op_threads = options.inter_op_threads;
  }
  std::optional<TensorFlowSetting> best = Autotune(tuning);
  if (!best) return;
  options.onednn = best->onednn;
  options.intra_op_threads = best->intra_op_threads;
  options.inter_op_threads = best->inter_op_threads;
}

int MeasureAndPrint(const ServerOptions& options) {
  MeasureOptions measure{.tensorflow = {.library_directory = options.tensorflow_directory,
                                        .intra_op_threads = options.intra_op_threads,
                                        .inter_op_threads = options.inter_op_threads,
                                        .onednn = options.onednn},
                         .cores = io::UsableCores()};
  for (const ModelConfig& model : options.models) measure.models.push_back({model.name, model.base_path});
  Result<Measurement> measurement = Measure(measure);
  if (!measurement) {
    std::fprintf(stderr, "%s\n", measurement.error().message.c_str());
    return 1;
  }
  std::fputs(ToLine(*measurement).c_str(), stdout);
  return 0;
}

}  // namespace sagebrush::serving
