#include "serving/backends/automatic/automatic_backend.h"

#include <cmath>
#include <cstring>

#include "base/log.h"
#include "serving/signature/made_up_inputs.h"

namespace sagebrush::serving {
namespace {

constexpr int64_t kRows = 2;

template <class T>
bool Near(const Tensor& a, const Tensor& b) {
  return std::ranges::equal(a.values<T>(), b.values<T>(), [](T x, T y) {
    return x == y || (std::isnan(x) && std::isnan(y)) ||
           std::abs(x - y) <= kAbsoluteTolerance + kRelativeTolerance * std::abs(y);
  });
}

bool Agree(const Tensor& a, const Tensor& b) {
  if (a.type() != b.type() || a.shape() != b.shape()) return false;
  if (a.type() == DataType::kFloat) return Near<float>(a, b);
  if (a.type() == DataType::kDouble) return Near<double>(a, b);
  return std::memcmp(a.data(), b.data(), a.byte_size()) == 0;
}

Result<void> Compare(const Session& reference, const Session& candidate) {
  const Signature& signature = candidate.signatures().find(kDefaultSignature)->second;
  TRY(Tensors inputs, MadeUpInputs(signature, kRows));
  std::vector<size_t> outputs = AllOutputs(signature.outputs.size());
  TRY(Tensors wanted, reference.Run(kDefaultSignature, inputs, outputs));
  TRY(Tensors given, candidate.Run(kDefaultSignature, inputs, outputs));
  for (size_t index = 0; index < outputs.size(); ++index) {
    if (Agree(given[index], wanted[index])) continue;
    auto alias = std::next(signature.outputs.begin(), static_cast<ptrdiff_t>(index))->first;
    return Fail(Internal("Its output " + alias + " differs from TensorFlow's by more than the tolerance."));
  }
  return {};
}

class AutomaticSession final : public Session {
 public:
  AutomaticSession(SignatureMap signatures, std::unique_ptr<Session> fast, std::unique_ptr<Session> rest)
      : signatures_(std::move(signatures)), fast_(std::move(fast)), rest_(std::move(rest)) {}
  const SignatureMap& signatures() const override { return signatures_; }
  std::string_view backend_name() const override { return fast_->backend_name(); }
  Result<Tensors> Run(std::string_view signature_name, std::span<const Tensor> inputs,
                      std::span<const size_t> outputs) const override {
    const Session& session = fast_->signatures().contains(signature_name) ? *fast_ : *rest_;
    return session.Run(signature_name, inputs, outputs);
  }

 private:
  const SignatureMap signatures_;
  const std::unique_ptr<Session> fast_, rest_;
};

class AutomaticBackend final : public Backend {
 public:
  AutomaticBackend(std::unique_ptr<Backend> tensorflow, std::unique_ptr<Backend> openvino)
      : tensorflow_(std::move(tensorflow)), openvino_(std::move(openvino)) {}

  std::string_view name() const override { return "auto"; }
  Result<std::unique_ptr<Session>> Load(const std::filesystem::path& directory) override {
    TRY(std::unique_ptr<Session> reference, tensorflow_->Load(directory));
    Result<std::unique_ptr<Session>> candidate = openvino_->Load(directory);
    Result<void> agrees = candidate ? Compare(*reference, **candidate) : Result<void>(Fail(candidate.error()));
    if (!agrees) {
      Log(LogLevel::kWarning, "openvino_not_used", {{"model", directory.native()}, {"reason", agrees.error().message}});
      return reference;
    }
    SignatureMap signatures = reference->signatures();
    bool complete = signatures.size() == (*candidate)->signatures().size();
    Log(LogLevel::kInfo, "openvino_used", {{"model", directory.native()}, {"tensorflow_kept", !complete}});
    if (complete) reference.reset();
    return std::make_unique<AutomaticSession>(std::move(signatures), *std::move(candidate), std::move(reference));
  }

 private:
  const std::unique_ptr<Backend> tensorflow_, openvino_;
};

}  // namespace

std::unique_ptr<Backend> MakeAutomaticBackend(std::unique_ptr<Backend> tensorflow, std::unique_ptr<Backend> openvino) {
  return std::make_unique<AutomaticBackend>(std::move(tensorflow), std::move(openvino));
}

}  // namespace sagebrush::serving
