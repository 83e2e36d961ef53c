#include "serving/backends/openvino/openvino_backend.h"

#include <cstring>
#include <mutex>

#include "base/check.h"
#include "base/log.h"
#include "io/cores.h"
#include "io/file.h"
#include "serving/backends/openvino/c_api.h"
#include "serving/signature/wire_format.h"

namespace sagebrush::serving {
namespace {

using openvino::CApi;

constexpr size_t kMaxErrorText = 600;

// Frees what the C interface hands out, by its own function.
template <class T>
using Owned = std::unique_ptr<T, void (*)(T*)>;

Error OpenVinoError(const CApi& api, std::string_view what) {
  const char* text = api.get_last_err_msg();
  return InvalidArgument(std::string(what) + ": " +
                         std::string(text == nullptr ? "no reason given" : text).substr(0, kMaxErrorText));
}

// The signatures of the meta graph for serving. Field numbers: tensorflow/core/protobuf/{saved_model,meta_graph}.proto.
Result<SignatureMap> SignaturesOf(const std::filesystem::path& directory) {
  constexpr uint32_t kMetaGraphs = 2, kMetaInfo = 1, kTags = 4;
  TRY(std::string bytes, io::ReadFile(directory / "saved_model.pb"));
  WireReader model(bytes);
  while (model.Next()) {
    if (model.field() != kMetaGraphs) continue;
    bool for_serving = false;
    for (WireReader graph(model.bytes()); graph.Next();) {
      if (graph.field() != kMetaInfo) continue;
      for (WireReader info(graph.bytes()); info.Next();)
        for_serving |= info.field() == kTags && info.bytes() == "serve";
    }
    if (for_serving) return ReadSignatures(model.bytes());
  }
  return Fail(InvalidArgument("There is no SavedModel for serving in " + directory.native() + "."));
}

// A port's place in the compiled model and its element type, in the order of a signature's map.
struct Port {
  size_t index = 0;
  openvino::ElementType type = 0;
};

// Threads: a run takes one of the free inference requests, or makes another; never shared between two runs.
class OpenVinoSession final : public Session {
 public:
  OpenVinoSession(const CApi& api, Owned<openvino::ov_compiled_model> compiled, SignatureMap signatures)
      : api_(api), compiled_(std::move(compiled)), signatures_(std::move(signatures)) {}
  ~OpenVinoSession() override {
    for (openvino::ov_infer_request* request : free_) api_.infer_request_free(request);
  }

  Result<void> BindPorts() {
    const Signature& signature = signatures_.begin()->second;
    TRY(inputs_, Bind(signature.inputs, api_.compiled_model_inputs_size, api_.compiled_model_input_by_index));
    TRY(outputs_, Bind(signature.outputs, api_.compiled_model_outputs_size, api_.compiled_model_output_by_index));
    return {};
  }

  const SignatureMap& signatures() const override { return signatures_; }
  std::string_view backend_name() const override { return "openvino"; }

  Result<Tensors> Run(std::string_view signature_name, std::span<const Tensor> inputs,
                      std::span<const size_t> outputs) const override {
    CHECK(signature_name == kDefaultSignature && inputs.size() == inputs_.size() && !outputs.empty());
    TRY(openvino::ov_infer_request * request, TakeRequest());
    Result<Tensors> results = RunOn(request, inputs, outputs);
    std::lock_guard lock(mutex_);
    free_.push_back(request);
    return results;
  }

 private:
  template <class Size, class ByIndex>
  Result<std::vector<Port>> Bind(const std::map<std::string, TensorInfo, std::less<>>& tensors, Size size,
                                 ByIndex by_index) {
    std::map<std::string, Port, std::less<>> by_name;
    size_t count = 0;
    if (size(compiled_.get(), &count) != 0) return Fail(OpenVinoError(api_, "The model's ports cannot be read"));
    for (size_t index = 0; index < count; ++index) {
      openvino::ov_output_const_port* raw = nullptr;
      if (by_index(compiled_.get(), index, &raw) != 0) return Fail(OpenVinoError(api_, "A port cannot be read"));
      Owned<openvino::ov_output_const_port> port(raw, api_.output_const_port_free);
      char* name = nullptr;
      Port found{.index = index};
      if (api_.port_get_any_name(raw, &name) != 0 || api_.port_get_element_type(raw, &found.type) != 0) {
        return Fail(OpenVinoError(api_, "A port of the model has no name or type"));
      }
      by_name[name] = found;
      api_.free(name);
    }
    std::vector<Port> ports;
    for (const auto& [alias, info] : tensors) {
      auto found = by_name.find(alias);
      if (found == by_name.end())
        return Fail(InvalidArgument("OpenVINO's form of the model has no tensor " + alias + "."));
      ports.push_back(found->second);
    }
    return ports;
  }

  Result<openvino::ov_infer_request*> TakeRequest() const {
    {
      std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        openvino::ov_infer_request* request = free_.back();
        free_.pop_back();
        return request;
      }
    }
    openvino::ov_infer_request* request = nullptr;
    if (api_.compiled_model_create_infer_request(compiled_.get(), &request) != 0) {
      return Fail(OpenVinoError(api_, "No inference request can be made"));
    }
    return request;
  }

  Result<Tensors> RunOn(openvino::ov_infer_request* request, std::span<const Tensor> inputs,
                        std::span<const size_t> outputs) const {
    std::vector<Owned<openvino::ov_tensor>> fed;
    for (size_t index = 0; index < inputs.size(); ++index) {
      Shape dims = inputs[index].shape();
      openvino::ov_tensor* tensor = nullptr;
      // OpenVINO only reads its inputs; the interface has no const.
      if (api_.tensor_create_from_host_ptr(inputs_[index].type, {static_cast<int64_t>(dims.size()), dims.data()},
                                           const_cast<std::byte*>(inputs[index].data()), &tensor) != 0) {
        return Fail(OpenVinoError(api_, "An input is not taken"));
      }
      fed.emplace_back(tensor, api_.tensor_free);
      if (api_.infer_request_set_input_tensor_by_index(request, inputs_[index].index, tensor) != 0) {
        return Fail(OpenVinoError(api_, "An input is not taken"));
      }
    }
    if (api_.infer_request_infer(request) != 0) return Fail(OpenVinoError(api_, "The model failed"));
    Tensors results;
    for (size_t index : outputs) {
      TRY(Tensor output, Output(request, index));
      results.push_back(std::move(output));
    }
    return results;
  }

  // A copy: the request's own buffer is overwritten by its next run.
  Result<Tensor> Output(openvino::ov_infer_request* request, size_t index) const {
    openvino::ov_tensor* raw = nullptr;
    if (api_.infer_request_get_output_tensor_by_index(request, outputs_[index].index, &raw) != 0) {
      return Fail(OpenVinoError(api_, "An output is missing"));
    }
    Owned<openvino::ov_tensor> tensor(raw, api_.tensor_free);
    openvino::ov_shape dims{};
    void* data = nullptr;
    size_t bytes = 0;
    if (api_.tensor_get_shape(raw, &dims) != 0 || api_.tensor_get_byte_size(raw, &bytes) != 0 ||
        api_.tensor_data(raw, &data) != 0) {
      return Fail(OpenVinoError(api_, "An output cannot be read"));
    }
    Shape shape(dims.dims, dims.dims + dims.rank);
    api_.shape_free(&dims);
    DataType type = std::next(signatures_.begin()->second.outputs.begin(), static_cast<ptrdiff_t>(index))->second.type;
    Tensor output = Tensor::Numeric(type, std::move(shape));
    if (output.byte_size() != bytes)
      return Fail(Internal("OpenVINO's output is of another type than the signature's."));
    std::memcpy(output.mutable_data(), data, bytes);
    return output;
  }

  const CApi& api_;
  Owned<openvino::ov_compiled_model> compiled_;
  SignatureMap signatures_;  // serving_default alone
  std::vector<Port> inputs_, outputs_;
  mutable std::mutex mutex_;
  mutable std::vector<openvino::ov_infer_request*> free_;
};

class OpenVinoBackend final : public Backend {
 public:
  OpenVinoBackend(CApi api, openvino::ov_core* core, int threads_per_run)
      : api_(api), core_(core, api.core_free), threads_per_run_(std::max(1, threads_per_run)) {}

  std::string_view name() const override { return "openvino"; }

  Result<std::unique_ptr<Session>> Load(const std::filesystem::path& directory) override {
    TRY(SignatureMap signatures, SignaturesOf(directory));
    std::erase_if(signatures, [](const auto& entry) { return entry.first != kDefaultSignature; });
    if (signatures.empty())
      return Fail(Unsupported("OpenVINO serves the signature serving_default, which the model lacks."));
    TRYV(RefuseStrings(signatures.begin()->second));
    openvino::ov_model* raw = nullptr;
    if (api_.core_read_model(core_.get(), directory.c_str(), nullptr, &raw) != 0) {
      return Fail(OpenVinoError(api_, "OpenVINO cannot read the model"));
    }
    Owned<openvino::ov_model> model(raw, api_.model_free);
    std::string streams = std::to_string(std::max(1, io::UsableCores() / static_cast<int>(threads_per_run_)));
    std::string threads = std::to_string(io::UsableCores());
    openvino::ov_compiled_model* compiled = nullptr;
    // Not bound to cores: a thread of a busy core would wait there while another core is free.
    if (api_.core_compile_model(core_.get(), raw, "CPU", 8, &compiled, "NUM_STREAMS", streams.c_str(),
                                "INFERENCE_NUM_THREADS", threads.c_str(), "INFERENCE_PRECISION_HINT", "f32",
                                "ENABLE_CPU_PINNING", "NO") != 0) {
      return Fail(OpenVinoError(api_, "OpenVINO cannot compile the model"));
    }
    auto session = std::make_unique<OpenVinoSession>(
        api_, Owned<openvino::ov_compiled_model>(compiled, api_.compiled_model_free), std::move(signatures));
    TRYV(session->BindPorts());
    return session;
  }

 private:
  static Result<void> RefuseStrings(const Signature& signature) {
    for (const auto* tensors : {&signature.inputs, &signature.outputs}) {
      for (const auto& [alias, info] : *tensors) {
        if (ElementBytes(info.type) == 0) {
          return Fail(Unsupported("OpenVINO serves numbers only; the model's " + alias + " is of the type " +
                                  std::string(TypeName(info.type)) + "."));
        }
      }
    }
    return {};
  }

  const CApi api_;
  const Owned<openvino::ov_core> core_;
  const unsigned threads_per_run_;
};

}  // namespace

Result<std::unique_ptr<Backend>> MakeOpenVinoBackend(const OpenVinoOptions& options) {
  TRY(CApi api, openvino::OpenCApi(options.library_directory));
  openvino::ov_core* core = nullptr;
  if (api.core_create(&core) != 0) return Fail(OpenVinoError(api, "OpenVINO does not start"));
  Log(LogLevel::kInfo, "openvino_loaded", {{"library", options.library_directory.native()}});
  return std::make_unique<OpenVinoBackend>(api, core, options.threads_per_run);
}

Result<std::filesystem::path> FindOpenVinoLibrary(const std::filesystem::path& tensorflow_directory) {
  if (const char* directory = std::getenv("SAGEBRUSH_OPENVINO"); directory != nullptr && *directory != '\0') {
    return std::filesystem::path(directory);
  }
  std::filesystem::path beside = tensorflow_directory.parent_path() / "openvino" / "libs";
  if (std::filesystem::exists(beside)) return beside;
  return Fail(NotFound("OpenVINO was not found: SAGEBRUSH_OPENVINO is not set, and there is no " + beside.native() +
                       ". Install it beside TensorFlow (pip install openvino) or name openvino/libs with --openvino."));
}

}  // namespace sagebrush::serving
