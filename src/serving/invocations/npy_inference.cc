#include "serving/invocations/npy_inference.h"

#include <memory>
#include <utility>

#include "base/check.h"
#include "serving/invocations/npy.h"

namespace sagebrush::serving {
namespace {

using Done = std::move_only_function<void(RestReply)>;

Result<std::string> EncodeOnly(const Tensors& outputs) {
  CHECK(outputs.size() == 1);
  return EncodeNpy(outputs.front());
}

Result<InferenceRequest> Prepare(const Servable& servable, RestCall& call) {
  TRYV(call.context.Check());
  TRY(DecodedPredict decoded, call.decoder(servable, call.body));
  auto signature = servable.signatures().find(decoded.signature_name);
  if (signature == servable.signatures().end()) {
    return Fail(
        InvalidArgument("Serving signature name: \"" + decoded.signature_name + "\" not found in signature def"));
  }
  if (signature->second.outputs.size() != 1) {
    return Fail(InvalidArgument("The model has " + std::to_string(signature->second.outputs.size()) +
                                " outputs and application/x-npy holds one array: accept application/json"));
  }
  return InferenceRequest{.signature_name = std::move(decoded.signature_name),
                          .inputs = std::move(decoded.inputs),
                          .outputs = {},
                          .context = call.context};
}

void RunNow(ModelService& service, RestCall call, Done done) {
  Result<std::shared_ptr<const Servable>> servable = service.Find(call.spec);
  if (!servable) return done(ErrorReply(servable.error()));
  Result<InferenceRequest> request = Prepare(**servable, call);
  if (!request) return done(ErrorReply(request.error()));
  const Servable& model = **servable;
  model.Run(*std::move(request),
            [held = *std::move(servable), done = std::move(done)](Result<Tensors> outputs) mutable {
              Result<std::string> body = outputs ? EncodeOnly(*outputs) : Fail(outputs.error());
              done(body ? RestReply{200, *std::move(body)} : ErrorReply(body.error()));
            });
}

}  // namespace

void RunNpyInference(ModelService& service, RestCall call, Done done) {
  CHECK(call.method == RestMethod::kPredict && call.decoder);
  auto shared = std::make_shared<std::pair<RestCall, Done>>(std::move(call), std::move(done));
  Executor::Work work = [&service, shared] { RunNow(service, std::move(shared->first), std::move(shared->second)); };
  if (service.executor().TrySubmit(work)) return;
  shared->second(ErrorReply(Error(ErrorKind::kUnavailable, "The server's queue is full: try again")));
}

}  // namespace sagebrush::serving
