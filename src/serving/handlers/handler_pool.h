#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "io/file.h"
#include "serving/handlers/worker_message.h"
#include "serving/handlers/worker_process.h"
#include "serving/rest/rest_inference.h"

namespace sagebrush::serving {

// A request as a user's handler sees it: the fields of the hosted container's `Context`, and the body.
struct HandlerRequest {
  std::optional<std::string> model_name, model_version, method;  // as asked for; None where they are not
  std::string rest_uri;
  std::string grpc_port;
  std::optional<std::string> custom_attributes;
  std::string request_content_type = "application/json";
  std::string accept_header = "application/json";
  std::optional<uint64_t> content_length;
  std::string body;

  // What a POST to rest_uri means, for the inference between input_handler and output_handler.
  Result<std::pair<ModelSpec, RestMethod>> target = std::pair<ModelSpec, RestMethod>();
  RequestContext context;
};

struct HandlerReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
};

struct HandlerPoolOptions {
  WorkerCommand command;
  int workers = 1;
  std::chrono::milliseconds call_timeout{30'000};     // a whole request in Python; 0: none
  std::chrono::milliseconds import_timeout{300'000};  // until the script is imported
  std::chrono::milliseconds first_backoff{200};       // doubles, to 10 s, while workers fail one after the other
  size_t queue_limit = 1000;
};

// The Python workers of one inference.py. Each has a thread of this process, which takes requests from one bounded
// queue, hands them over one at a time, and between input_handler and output_handler runs the inference itself, as a
// POST to rest_uri would. A worker is replaced when it dies, breaks the message form, or passes the call's timeout;
// that request alone fails. An exception in a handler fails its request and leaves the worker.
//
//   1 starting → 2 idle        the script is imported
//   2 idle → 3 busy → 2        a request
//   1, 3 → 4 down              the process failed; waits, longer each time without a success in between
//   4 down → 1                 the first time at once
//
// While every worker is down, requests get 503 with the reason. Thread-safe; the service outlives it. Destruction
// answers what is queued with 503 and ends the processes.
class HandlerPool {
 public:
  // Returns when one worker has imported the script, or with its error: what is missing in it, or the exception.
  static Result<std::unique_ptr<HandlerPool>> Start(HandlerPoolOptions options, ModelService& service);
  ~HandlerPool();
  HandlerPool(const HandlerPool&) = delete;

  using Done = std::move_only_function<void(HandlerReply)>;
  // `done` is called exactly once, from a thread of the pool or within the call. Statuses: 500 with the exception's
  // text or how the process died, 503 with no room or no worker, 504 past the timeout or the deadline.
  void Submit(HandlerRequest request, Done done);
  // Whether a worker is there or about to be.
  bool healthy() const;

 private:
  struct Job {
    HandlerRequest request;
    Done done;
  };
  // A worker's process, and what its script defines.
  struct Worker {
    std::unique_ptr<WorkerProcess> process;
    bool pair = false;  // input_handler and output_handler
  };

  HandlerPool(HandlerPoolOptions options, ModelService& service);
  void Loop();
  bool Restart(Worker& worker);
  Result<Worker> StartWorker();
  std::optional<Job> Take();
  HandlerReply Serve(Worker& worker, Job& job);
  Result<HandlerReply> Call(const Worker& worker, HandlerRequest& request, const WorkerWait& wait);
  Result<WorkerMessage> CallFunction(const Worker& worker, std::string head, std::string_view body,
                                     const WorkerWait& wait);
  RestReply Infer(const HandlerRequest& request, std::string body);
  bool WaitBackoff(const Error& reason);
  void Expire();
  WorkerWait WaitFor(const Worker& worker, std::chrono::milliseconds timeout);

  const HandlerPoolOptions options_;
  ModelService& service_;
  io::UniqueFd stop_;  // an eventfd
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> queue_;
  bool stopping_ = false;
  bool ready_once_ = false;
  int down_ = 0, failures_ = 0;
  std::optional<Error> last_failure_;
  std::vector<std::jthread> threads_;
};

}  // namespace sagebrush::serving
