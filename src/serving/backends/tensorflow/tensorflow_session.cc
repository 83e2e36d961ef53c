#include "serving/backends/tensorflow/tensorflow_session.h"

#include <boost/container/small_vector.hpp>

#include "base/check.h"
#include "base/text.h"
#include "serving/backends/tensorflow/tensor_conversion.h"
#include "serving/core/status.h"

namespace sagebrush::serving::tensorflow {
namespace {

using Outputs = std::vector<TF_Output>;

// A signature's tensors, found in the graph once.
struct BoundSignature {
  Outputs inputs, outputs;
};

class Status {
 public:
  explicit Status(const CApi& api) : api_(api), status_(api.NewStatus()) {}
  ~Status() { api_.DeleteStatus(status_); }
  Status(const Status&) = delete;
  TF_Status* get() { return status_; }
  bool ok() const { return api_.GetCode(status_) == 0; }
  Error ToError() const { return ErrorOf(static_cast<CanonicalCode>(api_.GetCode(status_)), api_.Message(status_)); }

 private:
  const CApi& api_;
  TF_Status* status_;
};

// "operation:3", or "operation" for its first output.
Result<TF_Output> FindTensor(const CApi& api, TF_Graph* graph, const std::string& name) {
  size_t colon = name.rfind(':');
  std::string operation = name.substr(0, colon);
  std::optional<int64_t> index = colon == std::string::npos ? 0 : ParseInt(std::string_view(name).substr(colon + 1));
  TF_Operation* found = index ? api.GraphOperationByName(graph, operation.c_str()) : nullptr;
  if (found == nullptr) return Fail(InvalidArgument("The graph has no tensor " + name + ", which a signature names."));
  return TF_Output{found, static_cast<int>(*index)};
}

class TensorFlowSession final : public Session {
 public:
  explicit TensorFlowSession(const CApi& api) : api_(api), graph_(api.NewGraph()) {}
  ~TensorFlowSession() override {
    if (session_ != nullptr) {
      Status status(api_);
      api_.CloseSession(session_, status.get());
      api_.DeleteSession(session_, status.get());
    }
    api_.DeleteGraph(graph_);
  }

  Result<void> Load(const std::string& config, const std::filesystem::path& directory) {
    Status status(api_);
    TF_SessionOptions* options = api_.NewSessionOptions();
    api_.SetConfig(options, config.data(), config.size(), status.get());
    TF_Buffer* meta_graph = api_.NewBuffer();
    const char* tag = "serve";
    if (status.ok()) {
      session_ = api_.LoadSessionFromSavedModel(options, nullptr, directory.c_str(), &tag, 1, graph_, meta_graph,
                                                status.get());
    }
    api_.DeleteSessionOptions(options);
    Result<SignatureMap> signatures =
        status.ok() ? ReadSignatures({static_cast<const char*>(meta_graph->data), meta_graph->length}) : SignatureMap{};
    api_.DeleteBuffer(meta_graph);
    if (!status.ok()) return Fail(status.ToError());
    TRY(signatures_, std::move(signatures));
    return BindSignatures();
  }

  const SignatureMap& signatures() const override { return signatures_; }
  std::string_view backend_name() const override { return "tensorflow"; }

  Result<Tensors> Run(std::string_view signature_name, std::span<const Tensor> inputs,
                      std::span<const size_t> outputs) const override {
    auto bound = bound_.find(signature_name);
    CHECK(bound != bound_.end() && bound->second.inputs.size() == inputs.size() && !outputs.empty());
    boost::container::small_vector<TF_Tensor*, 8> feeds;
    for (const Tensor& input : inputs) feeds.push_back(ToTensorFlow(api_, input));
    boost::container::small_vector<TF_Output, 8> fetches;
    for (size_t index : outputs) fetches.push_back(bound->second.outputs[index]);
    boost::container::small_vector<TF_Tensor*, 8> fetched(outputs.size(), nullptr);
    Status status(api_);
    api_.SessionRun(session_, nullptr, bound->second.inputs.data(), feeds.data(), static_cast<int>(feeds.size()),
                    fetches.data(), fetched.data(), static_cast<int>(fetched.size()), nullptr, 0, nullptr,
                    status.get());
    for (TF_Tensor* feed : feeds) api_.DeleteTensor(feed);
    Tensors results;
    std::optional<Error> failure;
    if (!status.ok()) failure = status.ToError();
    for (TF_Tensor* tensor : fetched) {
      if (tensor == nullptr) continue;
      Result<Tensor> result = FromTensorFlow(api_, tensor);
      if (!result && !failure) failure = std::move(result).error();
      if (result) results.push_back(*std::move(result));
    }
    if (failure) return Fail(*std::move(failure));
    return results;
  }

 private:
  Result<void> BindSignatures() {
    for (const auto& [name, signature] : signatures_) {
      BoundSignature& bound = bound_[name];
      for (const auto& [alias, info] : signature.inputs) {
        TRY(TF_Output tensor, FindTensor(api_, graph_, info.name));
        bound.inputs.push_back(tensor);
      }
      for (const auto& [alias, info] : signature.outputs) {
        TRY(TF_Output tensor, FindTensor(api_, graph_, info.name));
        bound.outputs.push_back(tensor);
      }
    }
    return {};
  }

  const CApi& api_;
  TF_Graph* const graph_;
  TF_Session* session_ = nullptr;
  SignatureMap signatures_;
  std::map<std::string, BoundSignature, std::less<>> bound_;
};

}  // namespace

Result<std::unique_ptr<Session>> LoadSession(const CApi& api, const std::string& config,
                                             const std::filesystem::path& directory) {
  auto session = std::make_unique<TensorFlowSession>(api);
  TRYV(session->Load(config, directory));
  return session;
}

}  // namespace sagebrush::serving::tensorflow
