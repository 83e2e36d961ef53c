#include "serving/rest/rest_inference.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "serving/codec/json_body.h"
#include "serving/codec/json_examples.h"
#include "serving/codec/json_outputs.h"
#include "serving/core/status.h"

namespace sagebrush::serving {
namespace {

using Done = std::move_only_function<void(RestReply)>;
using Encode = std::move_only_function<Result<std::string>(const Signature&, const Tensors&)>;

// The aliases that classify and regress signatures use.
constexpr std::string_view kInputs = "inputs", kClasses = "classes", kScores = "scores", kOutputs = "outputs";

// One call, decoded: what to run and how to print what comes of it.
struct Prepared {
  InferenceRequest request;
  const Signature* signature = nullptr;
  Encode encode;
};

RestReply ReplyOf(Result<std::string> body) {
  return body ? RestReply{.body = *std::move(body)} : ErrorReply(body.error());
}

Result<Prepared> PreparePredict(RestCall& call, const Servable& servable) {
  TRY(DecodedPredict decoded, call.decoder ? call.decoder(servable, call.body)
                                           : ParsePredict(call.body, BodyForm::kServing, servable.signatures()));
  TRY(auto signature, FindSignature(servable.signatures(), decoded.signature_name));
  Prepared prepared;
  prepared.signature = &signature->second;
  prepared.request.signature_name = signature->first;
  prepared.request.inputs = std::move(decoded.inputs);
  prepared.encode = [form = decoded.form](const Signature& of, const Tensors& outputs) {
    return PrintOutputs(of, outputs, form);
  };
  return prepared;
}

Result<void> CheckMethod(const Signature& signature, std::string_view what, std::string_view method) {
  if (signature.method_name != method) {
    return Fail(InvalidArgument(
        fmt::format("Expected {} signature method_name to be {}. Was: {}", what, method, signature.method_name)));
  }
  if (signature.inputs.size() != 1) return Fail(InvalidArgument("Expected one input Tensor."));
  if (!signature.inputs.contains(kInputs)) {
    return Fail(InvalidArgument(fmt::format("No {} inputs found in SignatureDef: its input is \"{}\", not \"{}\"", what,
                                            signature.inputs.begin()->first, kInputs)));
  }
  return {};
}

Result<void> CheckClassify(const Signature& signature) {
  TRYV(CheckMethod(signature, "classification", kClassifyMethod));
  if (signature.outputs.size() != 1 && signature.outputs.size() != 2) {
    return Fail(InvalidArgument(fmt::format("Expected one or two output Tensors, found {}", signature.outputs.size())));
  }
  if (!signature.outputs.contains(kClasses) && !signature.outputs.contains(kScores)) {
    return Fail(InvalidArgument(fmt::format(
        "Expected classification signature outputs to contain at least one of \"{}\" or \"{}\"", kClasses, kScores)));
  }
  return {};
}

Result<void> CheckRegress(const Signature& signature) {
  TRYV(CheckMethod(signature, "regression", kRegressMethod));
  if (signature.outputs.size() != 1) return Fail(InvalidArgument("Expected one output Tensor."));
  if (!signature.outputs.contains(kOutputs)) {
    return Fail(
        InvalidArgument(fmt::format("No regression outputs found in SignatureDef: its output is \"{}\", not "
                                    "\"{}\"",
                                    signature.outputs.begin()->first, kOutputs)));
  }
  return {};
}

// The output of that alias, or null.
const Tensor* OutputNamed(const Signature& signature, const Tensors& outputs, std::string_view alias) {
  auto found = signature.outputs.find(alias);
  if (found == signature.outputs.end()) return nullptr;
  return &outputs[static_cast<size_t>(std::distance(signature.outputs.begin(), found))];
}

Result<Prepared> PrepareExamples(const RestCall& call, const Servable& servable) {
  TRY(DecodedExamples decoded, ParseExamples(call.body));
  std::string name = decoded.signature_name.empty() ? std::string(kDefaultSignature) : decoded.signature_name;
  auto signature = servable.signatures().find(name);
  if (signature == servable.signatures().end()) {
    return Fail(InvalidArgument("No signature was found with the name: " + name));
  }
  bool classify = call.method == RestMethod::kClassify;
  TRYV(classify ? CheckClassify(signature->second) : CheckRegress(signature->second));
  auto count = static_cast<int64_t>(decoded.examples.size());
  Prepared prepared;
  prepared.signature = &signature->second;
  prepared.request.signature_name = std::move(name);
  prepared.request.inputs.push_back(Tensor::Strings({count}, std::move(decoded.examples)));
  prepared.encode = [classify, count](const Signature& of, const Tensors& outputs) {
    return classify ? PrintClassifications(OutputNamed(of, outputs, kClasses), OutputNamed(of, outputs, kScores), count)
                    : PrintRegressions(*OutputNamed(of, outputs, kOutputs), count);
  };
  return prepared;
}

// On a thread of the executor, or on that of the event loop that the call came in on.
void Run(std::shared_ptr<const Servable> servable, RestCall call, Done done) {
  if (Result<void> worth = call.context.Check(); !worth) return done(ErrorReply(worth.error()));
  Result<Prepared> prepared =
      call.method == RestMethod::kPredict ? PreparePredict(call, *servable) : PrepareExamples(call, *servable);
  if (!prepared) return done(ErrorReply(prepared.error()));
  call.body = {};
  prepared->request.context = std::move(call.context);
  const Servable& model = *servable;
  // The reply holds the servable, and so the signature, until the outputs are printed.
  model.Run(std::move(prepared->request),
            [servable = std::move(servable), signature = prepared->signature, encode = std::move(prepared->encode),
             done = std::move(done)](Result<Tensors> outputs) mutable {
              if (!outputs) return done(ErrorReply(outputs.error()));
              RestReply reply = ReplyOf(encode(*signature, *outputs));
              servable.reset();
              done(std::move(reply));
            });
}

}  // namespace

RestReply ErrorReply(const Error& error) { return {.status = HttpStatusOf(error), .body = PrintError(error.message)}; }

void RunRestInference(ModelService& service, RestCall call, Done done) {
  Result<std::shared_ptr<const Servable>> servable = service.Find(call.spec);
  if (!servable) return done(ErrorReply(servable.error()));
  if (call.context.loop != nullptr && ComputedByReceiver(**servable, call.body.size())) {
    return Run(*std::move(servable), std::move(call), std::move(done));
  }
  call.context.loop = nullptr;
  struct Pending {
    std::shared_ptr<const Servable> servable;
    RestCall call;
    Done done;
  };
  auto pending = std::make_shared<Pending>(*std::move(servable), std::move(call), std::move(done));
  Executor::Work work = [pending] {
    Run(std::move(pending->servable), std::move(pending->call), std::move(pending->done));
  };
  if (service.executor().TrySubmit(work)) return;
  pending->done(ErrorReply(Error(
      ErrorKind::kUnavailable, "The server is busy: all places for waiting requests are taken. Send it again later.")));
}

}  // namespace sagebrush::serving
