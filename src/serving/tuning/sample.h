#pragma once

#include <filesystem>
#include <string>

#include "serving/backends/backend.h"

namespace sagebrush::serving {

inline constexpr int64_t kManyRows = 32;

// Requests that stand for what a model will be asked.
struct Sample {
  std::string signature_name;
  std::vector<size_t> outputs;
  Tensors one, many;      // one row, and kManyRows; both as recorded where the signature fixes the rows
  int64_t many_rows = 1;  // of `many`
};

// From the first request that the model's author recorded for warming up, its rows repeated; else numbers that are made
// up, for serving_default or the first signature that says enough. An error says why there is neither.
Result<Sample> MakeSample(const std::filesystem::path& version_directory, const SignatureMap& signatures);

}  // namespace sagebrush::serving
