#include "serving/rest/rest_inference.h"

#include <memory>
#include <utility>

#include "serving/codec/json_body.h"
#include "serving/codec/json_examples.h"
#include "serving/codec/json_outputs.h"
#include "serving/core/example_inference.h"
#include "serving/core/status.h"

namespace sagebrush::serving {
namespace {

using Done = std::move_only_function<void(RestReply)>;

// One call, decoded: what to run and how to print what comes of it.
struct Prepared {
  InferenceRequest request;
  const Signature* signature = nullptr;
  PredictEncoder encode;
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
  prepared.encode = std::move(call.encoder);
  if (!prepared.encode) {
    prepared.encode = [form = decoded.form](const Signature& of, const Tensors& outputs) {
      return PrintOutputs(of, outputs, form);
    };
  }
  return prepared;
}

Result<Prepared> PrepareExamples(const RestCall& call, const Servable& servable) {
  TRY(DecodedExamples decoded, ParseExamples(call.body));
  TRY(auto signature, FindExampleSignature(servable.signatures(), decoded.signature_name));
  bool classify = call.method == RestMethod::kClassify;
  auto count = static_cast<int64_t>(decoded.examples.size());
  Tensor examples = Tensor::Strings({count}, std::move(decoded.examples));
  Prepared prepared;
  prepared.signature = &signature->second;
  TRY(prepared.request, ExampleInference(classify ? kClassifyMethod : kRegressMethod, signature->second,
                                         signature->first, std::move(examples)));
  prepared.encode = [classify, count](const Signature& of, const Tensors& outputs) -> Result<std::string> {
    if (classify) {
      TRY(ClassificationTable table, ReadClassifications(of, outputs, count));
      return PrintClassifications(table);
    }
    TRY(std::span<const float> values, ReadRegressions(outputs, count));
    return PrintRegressions(values);
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
  // The reply holds the servable too, and so the signature, until the outputs are printed.
  model.Run(std::move(prepared->request),
            [servable, signature = prepared->signature, encode = std::move(prepared->encode),
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
