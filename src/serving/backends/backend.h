#pragma once

#include <filesystem>
#include <memory>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "serving/signature/signature.h"
#include "serving/tensor/tensor.h"

namespace sagebrush::serving {

using Tensors = std::vector<Tensor>;

// The indexes of all outputs of a signature that has so many.
inline std::vector<size_t> AllOutputs(size_t count) {
  std::vector<size_t> all(count);
  std::iota(all.begin(), all.end(), size_t{0});
  return all;
}

// One loaded version of a model. Obligations on implementers:
// 1. All functions may be called from many threads at once; Run blocks its caller and computes in parallel with others.
// 2. `inputs` has one tensor for each input of the signature, in the order of the map; `outputs` holds indexes into its
//    outputs, in the order of the map, and is never empty. The reply has one tensor for each index, in their order.
// 3. Inputs are taken without a copy where their buffers are aligned to kTensorAlignment; outputs are the backend's own
//    buffers where it allows that.
// 4. An error of the model (a shape that its graph refuses, a missing key of a lookup) is the Error of that run, with
// the
//    backend's message, and harms no other run.
// 5. Destruction, after the last Run has returned, gives back all memory of the version.
class Session {
 public:
  virtual ~Session() = default;
  virtual const SignatureMap& signatures() const = 0;
  virtual Result<Tensors> Run(std::string_view signature_name, std::span<const Tensor> inputs,
                              std::span<const size_t> outputs) const = 0;
  // "tensorflow" or "openvino": who computes, for logs and metrics.
  virtual std::string_view backend_name() const = 0;
};

// Loads SavedModels. Thread-safe; outlives its sessions.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;
  // The SavedModel in `directory` (the one with saved_model.pb), for the tag "serve". Blocks, for seconds where the
  // model is large. A missing or damaged model, or an operation that the backend lacks, is an error that names it.
  virtual Result<std::unique_ptr<Session>> Load(const std::filesystem::path& directory) = 0;
};

}  // namespace sagebrush::serving
