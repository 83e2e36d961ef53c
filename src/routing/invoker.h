#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "driver/driver.h"
#include "http/message.h"
#include "http/upstream.h"
#include "io/runtime.h"
#include "routing/router.h"

namespace sagebrush::routing {

// What became of one invocation, for metrics.
struct InvocationRecord {
  std::string endpoint, variant;
  int status = 0;     // the container's; 0: it gave no answer
  int instances = 0;  // of the variant
  // From the request's first byte sent to the reply's last one received; 0: nothing was sent.
  std::chrono::nanoseconds model_latency{};
  std::chrono::nanoseconds overhead{};  // the rest of the time since the invocation was received
};

struct Invocation {
  std::string endpoint;
  std::optional<std::string> target_variant;
  http::Headers headers;  // for the container
  std::string body;
  http::BodyReader* stream = nullptr;  // in place of body: of known length, passed on while it is read; outlives Invoke
  std::chrono::steady_clock::time_point received = std::chrono::steady_clock::now();
};

struct InvocationReply {
  int status = 0;  // the container's
  http::Headers headers;
  std::variant<std::string, http::StreamBody> body;
  std::string variant;
  InstanceId instance;
};

// Carries invocations to instances and back: chooses, connects (connections are kept and used again, per event loop),
// sends, and passes on the reply as it comes. A request is sent a second time only when nothing of it can have reached
// an instance. Thread-safe; Invoke runs on the caller's executor.
class Invoker {
 public:
  struct Options {
    std::chrono::milliseconds timeout{60'000};             // from the request to the beginning of the reply
    std::chrono::milliseconds stall{60'000};               // of each further step
    size_t kept_connections = 64;                          // idle ones, of an instance and an event loop
    std::function<void(const InvocationRecord&)> observe;  // from any thread, quick; may be empty
  };
  Invoker(io::Runtime& runtime, Router& router, driver::Driver& driver, Options options);
  ~Invoker();

  // As Router::Choose; kDeadlineExceeded when the container is too slow, kUnavailable when it breaks off. An error of
  // `stream` is given as it is, and not counted: what the container has got is then cut short.
  http::asio::awaitable<Result<InvocationReply>> Invoke(Invocation invocation);
  // Closes the kept connections to an instance that is going away.
  void Forget(const InstanceId& instance);

  static constexpr uint16_t kPort = 8080;  // of /invocations, in every instance

 private:
  class Pool;
  class PooledBody;
  http::asio::awaitable<Result<std::shared_ptr<http::Upstream>>> Connect(const InstanceId& instance);

  io::Runtime& runtime_;
  Router& router_;
  driver::Driver& driver_;
  const Options options_;
  const std::shared_ptr<Pool> pool_;  // shared with bodies that are still being read
};

}  // namespace sagebrush::routing
