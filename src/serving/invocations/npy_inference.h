#pragma once

#include <functional>

#include "serving/rest/rest_inference.h"

namespace sagebrush::serving {

// RunRestInference with the reply as an application/x-npy file: for predict calls with a decoder, on models whose
// signature has one output (a client that wants several takes JSON). Errors are JSON, as there. Returns at once; `done`
// is called exactly once.
void RunNpyInference(ModelService& service, RestCall call, std::move_only_function<void(RestReply)> done);

}  // namespace sagebrush::serving
