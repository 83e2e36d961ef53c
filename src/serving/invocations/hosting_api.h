#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "http/message.h"
#include "io/runtime.h"
#include "serving/handlers/handlers.h"
#include "serving/invocations/hosted_request.h"
#include "serving/invocations/multi_model.h"

namespace sagebrush::serving {

namespace asio = boost::asio;

struct HostingApiOptions {
  std::string default_model;  // empty in multi-model mode only
  bool multi_model = false;
  std::chrono::milliseconds load_timeout{300'000};    // POST /models
  std::chrono::milliseconds request_timeout{60'000};  // a whole invocation, then 504
  size_t body_limit = size_t{1} << 30;                // bytes of a request; beyond them 413
  int concurrent_requests = 1;                        // what /execution-parameters recommends
  // This server's own ports, for handlers that call the model themselves.
  uint16_t rest_port = 8501, grpc_port = 9000;
};

// What a SageMaker hosting container answers on port 8080:
//   GET /ping                   200 when every version of the default model is available and the handlers live, else
//                               502; in multi-model mode 200 without models too
//   POST /invocations           a prediction; with handlers, what they make of it
//   GET /execution-parameters   for batch transform
//   GET, POST /models, GET, DELETE /models/NAME, POST /models/NAME/invoke      in multi-model mode
// Everything else is 404 {"error": "Not Found"}. Sources: the container's guide, and the multi-model container contract
// of the SageMaker developer guide. Thread-safe; runtime, service and handlers outlive it, and it its requests.
class HostingApi {
 public:
  HostingApi(io::Runtime& runtime, ModelService& service, Handlers& handlers, HostingApiOptions options);

  asio::awaitable<http::Response> Handle(http::Request& request);

 private:
  asio::awaitable<http::Response> HandleModels(http::Request& request);
  // `model` is that of the path, or "" for /invocations.
  asio::awaitable<http::Response> Invoke(http::Request& request, std::string model);
  asio::awaitable<http::Response> InvokeHandlers(http::Request& request, std::string model,
                                                 std::shared_ptr<HandlerPool> pool, std::string body);
  asio::awaitable<http::Response> LoadModel(http::Request& request);
  http::Response Ping() const;
  http::Response ExecutionParameters() const;
  RequestContext NewContext(const http::Request& request) const;

  ModelService& service_;
  Handlers& handlers_;
  const HostingApiOptions options_;
  MultiModel models_;
};

}  // namespace sagebrush::serving
