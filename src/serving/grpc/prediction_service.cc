#include "serving/grpc/prediction_service.h"

#include <set>

#include "serving/core/status.h"
#include "serving/grpc/example_protos.h"
#include "serving/grpc/tensor_proto.h"

namespace sagebrush::serving {
namespace {

namespace api = ::tensorflow::serving;

constexpr std::string_view kSignatureDef = "signature_def";

std::string SignatureNameOf(const api::ModelSpec& spec) {
  return spec.signature_name().empty() ? std::string(kDefaultSignature) : spec.signature_name();
}

// What answered, in every reply.
void FillModelSpec(const Servable& servable, const std::string& signature_name, api::ModelSpec* spec) {
  spec->set_name(servable.model_name());
  spec->mutable_version()->set_value(servable.version());
  spec->set_signature_name(signature_name);
}

template <class Map>
std::set<std::string> KeysOf(const Map& map) {
  std::set<std::string> keys;
  for (const auto& [key, value] : map) keys.insert(key);
  return keys;
}

std::set<std::string> Difference(const std::set<std::string>& from, const std::set<std::string>& taken) {
  std::set<std::string> left;
  std::ranges::set_difference(from, taken, std::inserter(left, left.end()));
  return left;
}

Result<Tensors> InputsOf(const Signature& signature, const api::PredictRequest& request) {
  std::set<std::string> sent = KeysOf(request.inputs()), wanted = KeysOf(signature.inputs);
  if (sent.size() != wanted.size()) {
    return Fail(InvalidArgument(
        fmt::format("input size does not match signature: {}!={} len({{{}}}) != len({{{}}}). Sent extra: {{{}}}. "
                    "Missing but required: "
                    "{{{}}}.",
                    sent.size(), wanted.size(), fmt::join(sent, ","), fmt::join(wanted, ","),
                    fmt::join(Difference(sent, wanted), ","), fmt::join(Difference(wanted, sent), ","))));
  }
  Tensors inputs;
  for (const auto& [alias, info] : signature.inputs) {
    auto found = request.inputs().find(alias);
    if (found == request.inputs().end()) {
      return Fail(
          InvalidArgument(fmt::format("Signature input alias: {}(feed name: {}) not found in request and no default "
                                      "value provided. Inputs expected "
                                      "to be in the request {{{}}}, or default input alias set: ",
                                      alias, info.name, fmt::join(sent, ","))));
    }
    Result<Tensor> tensor = TensorFromProto(found->second);
    if (!tensor) return Fail(std::move(tensor).error().Because("tensor parsing error: " + alias));
    inputs.push_back(*std::move(tensor));
  }
  return inputs;
}

Result<std::vector<size_t>> OutputsOf(const Signature& signature, const api::PredictRequest& request) {
  std::vector<size_t> indexes;
  for (const std::string& alias : request.output_filter()) {
    auto found = signature.outputs.find(alias);
    if (found == signature.outputs.end()) {
      return Fail(InvalidArgument(
          fmt::format("output tensor alias not found in signature: {} Outputs expected to be in the set {{{}}}.", alias,
                      fmt::join(KeysOf(signature.outputs), ","))));
    }
    auto index = static_cast<size_t>(std::distance(signature.outputs.begin(), found));
    if (std::ranges::find(indexes, index) != indexes.end()) {
      return Fail(InvalidArgument("duplicate output tensor alias: " + alias));
    }
    indexes.push_back(index);
  }
  return indexes;
}

// The outputs that were asked for (none: all), under their aliases.
void FillOutputs(const Signature& signature, const std::vector<size_t>& indexes, const Tensors& outputs,
                 api::PredictResponse* response) {
  for (size_t index = 0; const auto& [alias, info] : signature.outputs) {
    if (indexes.empty()) {
      TensorToProto(outputs[index], &(*response->mutable_outputs())[alias]);
    } else if (auto found = std::ranges::find(indexes, index); found != indexes.end()) {
      TensorToProto(outputs[static_cast<size_t>(found - indexes.begin())], &(*response->mutable_outputs())[alias]);
    }
    ++index;
  }
}

struct ExampleRun {
  std::shared_ptr<const Servable> servable;
  const Signature* signature = nullptr;  // the servable's
  InferenceRequest inference;
};

Result<ExampleRun> PrepareExamples(const ModelService& service, std::string_view method, bool has_spec,
                                   const api::ModelSpec& spec, const api::Input& input) {
  TRY(std::shared_ptr<const Servable> servable, FindServable(service, has_spec, spec));
  TRY(auto signature, FindExampleSignature(servable->signatures(), spec.signature_name()));
  TRY(Tensor examples, ExamplesOf(input));
  TRY(InferenceRequest inference, ExampleInference(method, signature->second, signature->first, std::move(examples)));
  return ExampleRun{std::move(servable), &signature->second, std::move(inference)};
}

// Classify and Regress: they differ in `fill`, which takes the signature, the outputs and the number of examples.
template <class Request, class Response, class Fill>
void RunExamples(const ModelService& service, std::string_view method, UnaryCall& call, const Request& request,
                 Response* response, Fill fill) {
  Result<ExampleRun> run =
      PrepareExamples(service, method, request.has_model_spec(), request.model_spec(), request.input());
  if (!run) return call.Answer(Fail(std::move(run).error()));
  run->inference.context = call.request_context();
  int64_t examples = run->inference.inputs[0].element_count();
  std::string name = run->inference.signature_name;
  auto done = [=, &call, holder = run->servable, signature = run->signature,
               name = std::move(name)](Result<Tensors> outputs) mutable {
    if (!outputs) return call.Answer(Fail(std::move(outputs).error()));
    FillModelSpec(*holder, name, response->mutable_model_spec());
    Result<void> filled = fill(*signature, *outputs, examples, response->mutable_result());
    holder.reset();
    call.Answer(filled);
  };
  run->servable->Run(std::move(run->inference), std::move(done));
}

// A MultiInference call under way: the tasks run one after the other.
struct MultiRun {
  UnaryCall& call;
  const api::MultiInferenceRequest& request;
  api::MultiInferenceResponse* response;
  std::shared_ptr<const Servable> servable;
  Tensor examples;
  std::set<std::string> seen;  // signatures
  int next = 0;
};

Result<const Signature*> SignatureOfTask(MultiRun& run, const api::InferenceTask& task, const std::string& name) {
  if (task.model_spec().name().empty()) return Fail(InvalidArgument("Found ModelSpec with an empty model name."));
  if (task.model_spec().name() != run.servable->model_name()) {
    return Fail(InvalidArgument("All ModelSpecs in a MultiInferenceRequest must access the same model name."));
  }
  if (!run.seen.insert(name).second) return Fail(InvalidArgument("Duplicate evaluation of signature: " + name));
  auto found = run.servable->signatures().find(name);
  if (found == run.servable->signatures().end()) {
    return Fail(InvalidArgument("Requested signature not found in model graph: " + name));
  }
  return &found->second;
}

Result<void> FillTask(const MultiRun& run, const api::InferenceTask& task, const Signature& signature,
                      const Tensors& outputs) {
  api::InferenceResult* result = run.response->add_results();
  FillModelSpec(*run.servable, SignatureNameOf(task.model_spec()), result->mutable_model_spec());
  int64_t examples = run.examples.element_count();
  if (task.method_name() == kClassifyMethod) {
    return FillClassification(signature, outputs, examples, result->mutable_classification_result());
  }
  return FillRegression(outputs, examples, result->mutable_regression_result());
}

// Each signature is run at most once, which bounds the depth when runs call back within themselves.
void RunNextTask(std::shared_ptr<MultiRun> run) {
  if (run->next == run->request.tasks_size()) {
    UnaryCall& call = run->call;
    run.reset();
    return call.Answer({});
  }
  const api::InferenceTask& task = run->request.tasks(run->next++);
  std::string name = SignatureNameOf(task.model_spec());
  Result<const Signature*> signature = SignatureOfTask(*run, task, name);
  if (!signature) return run->call.Answer(Fail(std::move(signature).error()));
  Result<InferenceRequest> inference = ExampleInference(task.method_name(), **signature, name, run->examples);
  if (!inference) return run->call.Answer(Fail(std::move(inference).error()));
  inference->context = run->call.request_context();
  const Servable& servable = *run->servable;
  servable.Run(*std::move(inference), [run, &task, signature = *signature](Result<Tensors> outputs) mutable {
    if (!outputs) return run->call.Answer(Fail(std::move(outputs).error()));
    Result<void> filled = FillTask(*run, task, *signature, *outputs);
    if (!filled) return run->call.Answer(filled);
    RunNextTask(std::move(run));
  });
}

void FillTensorInfo(const TensorInfo& info, ::tensorflow::TensorInfo* proto) {
  proto->set_name(info.name);
  proto->set_dtype(static_cast<::tensorflow::DataType>(info.type));
  ::tensorflow::TensorShapeProto* shape = proto->mutable_tensor_shape();
  if (!info.shape) return shape->set_unknown_rank(true);
  for (int64_t size : *info.shape) shape->add_dim()->set_size(size);
}

api::SignatureDefMap SignatureDefs(const SignatureMap& signatures) {
  api::SignatureDefMap map;
  for (const auto& [name, signature] : signatures) {
    ::tensorflow::SignatureDef& proto = (*map.mutable_signature_def())[name];
    proto.set_method_name(signature.method_name);
    for (const auto& [alias, info] : signature.inputs) FillTensorInfo(info, &(*proto.mutable_inputs())[alias]);
    for (const auto& [alias, info] : signature.outputs) FillTensorInfo(info, &(*proto.mutable_outputs())[alias]);
  }
  return map;
}

}  // namespace

ModelSpec ModelSpecFromProto(const api::ModelSpec& spec) {
  ModelSpec converted{.name = spec.name(), .version = {}, .label = spec.version_label()};
  if (spec.has_version()) converted.version = spec.version().value();
  return converted;
}

Result<std::shared_ptr<const Servable>> FindServable(const ModelService& service, bool has_spec,
                                                     const api::ModelSpec& spec) {
  if (!has_spec) return Fail(InvalidArgument("Missing ModelSpec"));
  if (spec.name().empty()) return Fail(InvalidArgument("ModelSpec has no name"));
  return service.Find(ModelSpecFromProto(spec));
}

Result<InferenceRequest> InferenceFromPredict(const Servable& servable, const api::PredictRequest& request) {
  std::string name = SignatureNameOf(request.model_spec());
  auto signature = servable.signatures().find(name);
  if (signature == servable.signatures().end()) {
    return Fail(
        ErrorOf(CanonicalCode::kFailedPrecondition, fmt::format("Serving signature key \"{}\" not found.", name)));
  }
  TRY(Tensors inputs, InputsOf(signature->second, request));
  TRY(std::vector<size_t> outputs, OutputsOf(signature->second, request));
  return InferenceRequest{std::move(name), std::move(inputs), std::move(outputs), {}};
}

UnaryCall* PredictionServiceImpl::Predict(::grpc::CallbackServerContext* context, const api::PredictRequest* request,
                                          api::PredictResponse* response) {
  Result<std::shared_ptr<const Servable>> servable =
      FindServable(service_, request->has_model_spec(), request->model_spec());
  bool here = servable && ComputedByReceiver(**servable, request->ByteSizeLong());
  auto work = [request, response, servable = std::move(servable)](UnaryCall& call) mutable {
    if (!servable) return call.Answer(Fail(std::move(servable).error()));
    Result<InferenceRequest> inference = InferenceFromPredict(**servable, *request);
    if (!inference) return call.Answer(Fail(std::move(inference).error()));
    inference->context = call.request_context();
    auto done = [&call, response, holder = *servable, name = inference->signature_name,
                 indexes = inference->outputs](Result<Tensors> outputs) mutable {
      if (!outputs) return call.Answer(Fail(std::move(outputs).error()));
      FillModelSpec(*holder, name, response->mutable_model_spec());
      FillOutputs(holder->signatures().find(name)->second, indexes, *outputs, response);
      holder.reset();
      call.Answer({});
    };
    (*servable)->Run(*std::move(inference), std::move(done));
  };
  return UnaryCall::Start(*context, here ? nullptr : &service_.executor(), std::move(work));
}

UnaryCall* PredictionServiceImpl::Classify(::grpc::CallbackServerContext* context,
                                           const api::ClassificationRequest* request,
                                           api::ClassificationResponse* response) {
  return UnaryCall::Start(*context, &service_.executor(), [this, request, response](UnaryCall& call) {
    RunExamples(service_, kClassifyMethod, call, *request, response, FillClassification);
  });
}

UnaryCall* PredictionServiceImpl::Regress(::grpc::CallbackServerContext* context, const api::RegressionRequest* request,
                                          api::RegressionResponse* response) {
  return UnaryCall::Start(*context, &service_.executor(), [this, request, response](UnaryCall& call) {
    RunExamples(service_, kRegressMethod, call, *request, response,
                [](const Signature&, const Tensors& outputs, int64_t examples, api::RegressionResult* result) {
                  return FillRegression(outputs, examples, result);
                });
  });
}

UnaryCall* PredictionServiceImpl::MultiInference(::grpc::CallbackServerContext* context,
                                                 const api::MultiInferenceRequest* request,
                                                 api::MultiInferenceResponse* response) {
  return UnaryCall::Start(*context, &service_.executor(), [this, request, response](UnaryCall& call) {
    bool has_spec = request->tasks_size() > 0 && request->tasks(0).has_model_spec();
    Result<std::shared_ptr<const Servable>> servable = FindServable(
        service_, has_spec, has_spec ? request->tasks(0).model_spec() : api::ModelSpec::default_instance());
    if (!servable) return call.Answer(Fail(std::move(servable).error()));
    Result<Tensor> examples = ExamplesOf(request->input());
    if (!examples) return call.Answer(Fail(std::move(examples).error()));
    RunNextTask(std::make_shared<MultiRun>(
        MultiRun{call, *request, response, *std::move(servable), *std::move(examples), {}, 0}));
  });
}

Result<void> PredictionServiceImpl::Metadata(const api::GetModelMetadataRequest& request,
                                             api::GetModelMetadataResponse* response) const {
  if (request.has_model_spec() && request.metadata_field().empty()) {
    return Fail(InvalidArgument("GetModelMetadataRequest must specify at least one metadata_field"));
  }
  for (const std::string& field : request.metadata_field()) {
    if (field != kSignatureDef) return Fail(InvalidArgument("Metadata field " + field + " is not supported"));
  }
  TRY(std::shared_ptr<const Servable> servable, FindServable(service_, request.has_model_spec(), request.model_spec()));
  FillModelSpec(*servable, "", response->mutable_model_spec());
  (*response->mutable_metadata())[std::string(kSignatureDef)].PackFrom(SignatureDefs(servable->signatures()));
  return {};
}

UnaryCall* PredictionServiceImpl::GetModelMetadata(::grpc::CallbackServerContext* context,
                                                   const api::GetModelMetadataRequest* request,
                                                   api::GetModelMetadataResponse* response) {
  auto* call = new UnaryCall(*context);
  call->Answer(Metadata(*request, response));
  return call;
}

}  // namespace sagebrush::serving
