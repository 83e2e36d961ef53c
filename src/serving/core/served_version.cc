#include "serving/core/served_version.h"

#include <cstring>

#include "base/check.h"
#include "serving/core/status.h"

namespace sagebrush::serving {
namespace {

// What may be computed by a thread that has other connections to attend to, and what is taken for a model's first run.
constexpr std::chrono::nanoseconds kQuickRow = std::chrono::milliseconds(1), kUnknownRow = std::chrono::seconds(1);

bool HasFreeRows(const TensorInfo& info) { return info.shape && !info.shape->empty() && info.shape->front() == -1; }

bool IsBatchable(const Signature& signature) {
  auto free = [](const auto& entry) { return HasFreeRows(entry.second); };
  return !signature.inputs.empty() && std::ranges::all_of(signature.inputs, free) &&
         std::ranges::all_of(signature.outputs, free);
}

bool SameRows(std::span<const Tensor> inputs) {
  return std::ranges::all_of(inputs, [&](const Tensor& input) { return input.shape()[0] == inputs[0].shape()[0]; });
}

bool Fits(const Shape& wanted, const Shape& shape) {
  return std::ranges::equal(wanted, shape, [](int64_t want, int64_t have) { return want == -1 || want == have; });
}

// TensorFlow does not hold a request against the shapes of a signature, and some of its kernels end the process over a
// tensor of another rank, so it is done here. The one exception is [-1,1]: TensorFlow Serving's own example models
// state it and are called, in their documentation, with plain lists and with rows of any length.
bool MayBeComputed(const Shape& wanted, const Shape& shape) {
  bool column = wanted.size() == 2 && wanted[0] == -1 && wanted[1] == 1;
  return column || Fits(wanted, shape);
}

bool FitExactly(const Signature& signature, std::span<const Tensor> inputs) {
  return std::ranges::equal(signature.inputs, inputs, [](const auto& entry, const Tensor& input) {
    return !entry.second.shape || Fits(*entry.second.shape, input.shape());
  });
}

// One row of zeros (or an empty string); nullopt where the rank is unknown or the type no plain value.
std::optional<Tensor> Zeros(const TensorInfo& info) {
  if (!info.shape) return std::nullopt;
  Shape shape = *info.shape;
  for (int64_t& size : shape) size = size == -1 ? 1 : size;
  std::optional<int64_t> count = ElementCount(shape);
  if (!count) return std::nullopt;
  if (info.type == DataType::kString) {
    return Tensor::Strings(std::move(shape), std::vector<std::string>(static_cast<size_t>(*count)));
  }
  if (ElementBytes(info.type) == 0) return std::nullopt;
  Tensor zeros = Tensor::Numeric(info.type, std::move(shape));
  std::memset(zeros.mutable_data(), 0, zeros.byte_size());
  return zeros;
}

}  // namespace

Result<void> CheckInputs(const Signature& signature, std::span<const Tensor> inputs) {
  CHECK(inputs.size() == signature.inputs.size());
  size_t index = 0;
  for (const auto& [alias, info] : signature.inputs) {
    const Tensor& input = inputs[index++];
    if (input.type() != info.type) {
      return Fail(InvalidArgument(fmt::format("Input '{}' has the type {}; the model expects {}.", alias,
                                              TypeName(input.type()), TypeName(info.type))));
    }
    if (info.shape && !MayBeComputed(*info.shape, input.shape())) {
      return Fail(InvalidArgument(fmt::format("Input '{}' has the shape {}; the model expects {}.", alias,
                                              ShapeText(input.shape()), ShapeText(*info.shape))));
    }
  }
  return {};
}

ServedVersion::ServedVersion(std::string model_name, int64_t version, std::unique_ptr<Session> session,
                             const BatchingParameters& batching, ServingMetrics& metrics)
    : model_name_(std::move(model_name)),
      version_(version),
      session_(std::move(session)),
      metrics_(metrics.ForModel(model_name_, session_->backend_name())),
      waits_for_batches_(batching.enabled && batching.batch_timeout.count() > 0),
      row_nanos_(kUnknownRow.count()) {
  if (!batching.enabled) return;
  for (const auto& [name, signature] : signatures()) {
    if (!IsBatchable(signature)) continue;
    batchers_[name] = std::make_shared<Batcher>(
        batching, signature.outputs.size(),
        [this, &name](std::span<const Tensor> inputs, std::span<const size_t> outputs) {
          return RunNow(name, inputs, outputs);
        },
        [this](size_t rows) { metrics_.ObserveBatch(rows); });
  }
}

void ServedVersion::Run(InferenceRequest request, InferenceCallback done) const {
  auto finish = [this, done = std::move(done),
                 begin = std::chrono::steady_clock::now()](Result<Tensors> outputs) mutable {
    metrics_.ObserveRequest(outputs ? CanonicalCode::kOk : CodeOf(outputs.error()),
                            std::chrono::steady_clock::now() - begin);
    done(std::move(outputs));
  };
  auto signature = signatures().find(request.signature_name);
  CHECK(signature != signatures().end());
  Result<void> fits = CheckInputs(signature->second, request.inputs);
  if (fits) fits = request.context.Check();
  if (!fits) return finish(Fail(std::move(fits).error()));
  auto batcher = batchers_.find(request.signature_name);
  if (batcher != batchers_.end() && FitExactly(signature->second, request.inputs) && SameRows(request.inputs)) {
    return batcher->second->Run(std::move(request), std::move(finish));
  }
  if (request.outputs.empty()) request.outputs = AllOutputs(signature->second.outputs.size());
  finish(RunNow(request.signature_name, request.inputs, request.outputs));
}

Result<Tensors> ServedVersion::RunNow(const std::string& signature_name, std::span<const Tensor> inputs,
                                      std::span<const size_t> outputs) const {
  if (outputs.empty()) return Tensors{};
  auto begin = std::chrono::steady_clock::now();
  Result<Tensors> results = session_->Run(signature_name, inputs, outputs);
  std::chrono::nanoseconds took = std::chrono::steady_clock::now() - begin;
  metrics_.ObserveRun(took);
  int64_t rows = inputs.empty() || inputs[0].shape().empty() ? 1 : std::max<int64_t>(1, inputs[0].shape()[0]);
  int64_t now = took.count() / rows, before = row_nanos_.load(std::memory_order_relaxed);
  // A quicker run shows what the model can do; a slower one may have been interrupted.
  row_nanos_.store(before + (now - before) / (now < before ? 2 : 64), std::memory_order_relaxed);
  return results;
}

bool ServedVersion::quick() const {
  return !waits_for_batches_ && row_nanos_.load(std::memory_order_relaxed) <= kQuickRow.count();
}

void ServedVersion::WarmUp() const {
  for (const auto& [name, signature] : signatures()) {
    Tensors inputs;
    for (const auto& [alias, info] : signature.inputs) {
      std::optional<Tensor> zeros = Zeros(info);
      if (zeros) inputs.push_back(*std::move(zeros));
    }
    std::vector<size_t> outputs = AllOutputs(signature.outputs.size());
    if (inputs.size() != signature.inputs.size() || outputs.empty()) continue;
    (void)session_->Run(name, inputs, outputs);
  }
}

}  // namespace sagebrush::serving
