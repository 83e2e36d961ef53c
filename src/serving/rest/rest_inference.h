#pragma once

#include <functional>
#include <string>

#include "serving/core/model_service.h"

namespace sagebrush::serving {

enum class RestMethod { kPredict, kClassify, kRegress };

// How the outputs of a predict call are printed.
enum class OutputForm {
  kRow,     // {"predictions": […]}: for a request by rows ("instances")
  kColumn,  // {"outputs": …}: for a request by columns ("inputs")
};

struct DecodedPredict {
  std::string signature_name;
  Tensors inputs;  // one for each input of the signature, in the order of the map
  OutputForm form = OutputForm::kRow;
};

// A body, once its model is known, as tensors.
using PredictDecoder = std::move_only_function<Result<DecodedPredict>(const Servable&, const std::string& body)>;

// The outputs of a predict call, in the order of the signature's map, as a body that is no JSON.
using PredictEncoder = std::move_only_function<Result<std::string>(const Signature&, const Tensors&)>;

struct RestCall {
  ModelSpec spec;
  RestMethod method = RestMethod::kPredict;
  std::string body;        // TensorFlow Serving's JSON for the method
  PredictDecoder decoder;  // for kPredict, when set: reads a body of another form
  PredictEncoder encoder;  // for kPredict, when set: makes the body of the reply
  RequestContext context;
};

struct RestReply {
  int status = 200;
  std::string body;  // JSON in TensorFlow Serving's formatting (or the encoder's); {"error": …} where status is no 200
};

// A whole predict, classify or regress call: finds the model, decodes, runs, encodes, then calls `done` exactly once.
// All the work is done on the executor and the call returns at once; a full queue gives 503. Where the context has an
// event loop, which must be the caller's, a quick request is worked on by that instead, here and now or, batched, a
// little later.
void RunRestInference(ModelService& service, RestCall call, std::move_only_function<void(RestReply)> done);

// {"error": "…"} as TensorFlow Serving formats it, with the status of the error.
RestReply ErrorReply(const Error& error);

}  // namespace sagebrush::serving
