#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "serving/tensor/tensor.h"

namespace sagebrush::serving {

inline constexpr size_t kMostWarmupRecords = 1000;  // TensorFlow Serving's limit

// A call that a model's author recorded, to be made once before the version is served.
struct WarmupCall {
  std::string signature_name;
  std::map<std::string, Tensor, std::less<>> inputs;  // by alias; not yet compared with the signature
  std::vector<std::string> outputs;                   // aliases; empty: all
};

// The calls of assets.extra/tf_serving_warmup_requests in a version's directory: a TFRecord file of PredictionLogs, of
// which predict, classify, regress and multi-inference logs count (the last as one call for each task). None where
// there is no such file. kDataLoss for a damaged file, kInvalidArgument for a record that cannot be read or one too
// many, kUnsupported for a log of another kind; each names the file, the record (from 1) and its offset.
Result<std::vector<WarmupCall>> ReadWarmupCalls(const std::filesystem::path& version_directory);

}  // namespace sagebrush::serving
