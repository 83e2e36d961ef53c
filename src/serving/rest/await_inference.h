#pragma once

#include <boost/asio/awaitable.hpp>

#include "serving/rest/rest_inference.h"

namespace sagebrush::serving {

// co_await RunRestInference: the reply comes back on the caller's executor, which must be a strand (or an io_context
// run by one thread) and whose context outlives the call, as `service` does. When the deadline of the call's context
// passes first, the reply is 504 at once; the computation, which cannot be broken off, runs to its end unheard.
boost::asio::awaitable<RestReply> AwaitRestInference(ModelService& service, RestCall call);

}  // namespace sagebrush::serving
