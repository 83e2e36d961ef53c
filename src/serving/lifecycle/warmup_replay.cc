#include "serving/lifecycle/warmup_replay.h"

#include <future>

#include "base/log.h"

namespace sagebrush::serving {

Result<InferenceRequest> ToRequest(const WarmupCall& call, const SignatureMap& signatures) {
  InferenceRequest request{.signature_name =
                               call.signature_name.empty() ? std::string(kDefaultSignature) : call.signature_name};
  auto signature = signatures.find(request.signature_name);
  if (signature == signatures.end())
    return Fail(InvalidArgument("The model has no signature " + request.signature_name));
  for (const auto& [alias, info] : signature->second.inputs) {
    auto input = call.inputs.find(alias);
    if (input == call.inputs.end()) return Fail(InvalidArgument("Its input " + alias + " is missing"));
    request.inputs.push_back(input->second);
  }
  for (const std::string& wanted : call.outputs) {
    auto output = signature->second.outputs.find(wanted);
    if (output == signature->second.outputs.end()) return Fail(InvalidArgument("The model has no output " + wanted));
    request.outputs.push_back(static_cast<size_t>(std::distance(signature->second.outputs.begin(), output)));
  }
  return request;
}

namespace {

Result<void> Replay(const WarmupCall& call, const Servable& version) {
  TRY(InferenceRequest request, ToRequest(call, version.signatures()));
  std::promise<Result<Tensors>> promise;
  version.Run(std::move(request), [&](Result<Tensors> outputs) { promise.set_value(std::move(outputs)); });
  Result<Tensors> outputs = promise.get_future().get();
  return outputs ? Result<void>() : Fail(std::move(outputs).error());
}

}  // namespace

Result<void> ReplayWarmup(const std::filesystem::path& version_directory, const Servable& version) {
  TRY(std::vector<WarmupCall> calls, ReadWarmupCalls(version_directory));
  for (size_t index = 0; index < calls.size(); ++index) {
    Result<void> replayed = Replay(calls[index], version);
    if (!replayed) {
      return Fail(std::move(replayed).error().Because(fmt::format("The recorded warm-up request {} fails", index + 1)));
    }
  }
  if (!calls.empty()) {
    Log(LogLevel::kInfo, "warmup_replayed",
        {{"model", version.model_name()}, {"version", version.version()}, {"requests", calls.size()}});
  }
  return {};
}

}  // namespace sagebrush::serving
