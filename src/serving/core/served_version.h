#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>

#include "serving/core/batcher.h"
#include "serving/core/servable.h"
#include "serving/core/serving_metrics.h"

namespace sagebrush::serving {

// A loaded version of a model: checks requests against its signatures, and computes them alone or through the batcher
// of their signature. Signatures are batched when every input and output has a free first dimension. Thread-safe.
class ServedVersion final : public Servable {
 public:
  ServedVersion(std::string model_name, int64_t version, std::unique_ptr<Session> session,
                const BatchingParameters& batching, ServingMetrics& metrics);

  const std::string& model_name() const override { return model_name_; }
  int64_t version() const override { return version_; }
  const SignatureMap& signatures() const override { return session_->signatures(); }
  std::string_view backend_name() const { return session_->backend_name(); }
  void Run(InferenceRequest request, InferenceCallback done) const override;
  bool quick() const override;

  // Makes the first run of every signature happen now: with one row of zeros, where the signature says enough to make
  // one. Errors of the model are of no interest: a model may refuse zeros.
  void WarmUp() const;

 private:
  Result<Tensors> RunNow(const std::string& signature_name, std::span<const Tensor> inputs,
                         std::span<const size_t> outputs) const;

  const std::string model_name_;
  const int64_t version_;
  const std::unique_ptr<Session> session_;
  mutable ServingMetrics::Model metrics_;
  const bool waits_for_batches_;
  mutable std::atomic<int64_t> row_nanos_;  // what a row has lately taken; races lose a measurement, no more
  std::map<std::string, std::shared_ptr<Batcher>, std::less<>> batchers_;
};

// kInvalidArgument, naming the input, when a tensor does not fit what the signature says of it.
Result<void> CheckInputs(const Signature& signature, std::span<const Tensor> inputs);

}  // namespace sagebrush::serving
