#include "serving/handlers/handler_pool.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <future>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "serving/core/status.h"

namespace sagebrush::serving {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kMostBackoff{10'000};

HandlerReply ErrorText(int status, std::string_view text) {
  return {status, "application/json", json::serialize(json::object{{"error", text}})};
}

// Headers may hold any bytes, JSON may not.
json::value OrNull(const std::optional<std::string>& text) {
  return text ? json::value(ReplaceInvalidUtf8(*text)) : json::value(nullptr);
}

json::object ContextJson(const HandlerRequest& request) {
  return {{"model_name", OrNull(request.model_name)},
          {"model_version", OrNull(request.model_version)},
          {"method", OrNull(request.method)},
          {"rest_uri", OrNull(request.rest_uri)},
          {"grpc_port", request.grpc_port},
          {"custom_attributes", OrNull(request.custom_attributes)},
          {"request_content_type", OrNull(request.request_content_type)},
          {"accept_header", OrNull(request.accept_header)},
          {"content_length", request.content_length ? json::value(*request.content_length) : json::value(nullptr)}};
}

Result<json::object> ParseHead(const std::string& text) {
  boost::system::error_code ec;
  json::value head = json::parse(text, ec);
  if (ec || !head.is_object()) {
    return Fail(Error(ErrorKind::kUnavailable, "the handler's process sent a broken message"));
  }
  return std::move(head.as_object());
}

std::optional<std::string> StringField(const json::object& head, std::string_view name) {
  const json::value* value = head.if_contains(name);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return std::string(value->as_string());
}

}  // namespace

Result<std::unique_ptr<HandlerPool>> HandlerPool::Start(HandlerPoolOptions options, ModelService& service) {
  CHECK(options.workers > 0);
  auto pool = std::unique_ptr<HandlerPool>(new HandlerPool(std::move(options), service));
  if (!pool->stop_) return Fail(FromErrno(errno, "cannot make an event"));
  for (int index = 0; index < pool->options_.workers; ++index) {
    pool->threads_.emplace_back([raw = pool.get()] { raw->Loop(); });
  }
  std::unique_lock lock(pool->mutex_);
  pool->changed_.wait(lock, [&] { return pool->ready_once_ || pool->last_failure_; });
  if (pool->ready_once_) return pool;
  Error failure = *pool->last_failure_;
  lock.unlock();
  return Fail(std::move(failure));
}

HandlerPool::HandlerPool(HandlerPoolOptions options, ModelService& service)
    : options_(std::move(options)), service_(service), stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

HandlerPool::~HandlerPool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  uint64_t one = 1;
  if (stop_) CHECK(::write(stop_.get(), &one, sizeof one) == sizeof one);
  changed_.notify_all();
  threads_.clear();
  for (Job& job : queue_) job.done(ErrorText(503, "the server is stopping"));
}

void HandlerPool::Submit(HandlerRequest request, Done done) {
  std::string refusal;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) {
      refusal = "the server is stopping";
    } else if (down_ == options_.workers) {
      refusal = last_failure_->message;
    } else if (queue_.size() >= options_.queue_limit) {
      refusal = "every handler process is busy and the queue is full: try again";
    } else {
      queue_.push_back(Job{std::move(request), std::move(done)});
    }
  }
  if (!refusal.empty()) return done(ErrorText(503, refusal));
  changed_.notify_one();
}

bool HandlerPool::healthy() const {
  std::lock_guard lock(mutex_);
  return down_ < options_.workers;
}

void HandlerPool::Loop() {
  Worker worker;
  while (true) {
    if ((worker.process == nullptr || worker.process->ended()) && !Restart(worker)) return;
    std::optional<Job> job = Take();
    if (!job) return;
    if (worker.process->ended() && !Restart(worker)) {  // it died while idle: not this request's fault
      return job->done(ErrorText(503, "the server is stopping"));
    }
    HandlerReply reply = Serve(worker, *job);
    job->done(std::move(reply));
  }
}

// Until there is a worker again; false when the server stops first.
bool HandlerPool::Restart(Worker& worker) {
  while (true) {
    worker.process.reset();
    Result<Worker> started = StartWorker();
    {
      std::lock_guard lock(mutex_);
      if (stopping_) return false;
      if (started) ready_once_ = true;
    }
    changed_.notify_all();
    if (started) {
      worker = *std::move(started);
      return true;
    }
    if (!WaitBackoff(started.error())) return false;
  }
}

Result<HandlerPool::Worker> HandlerPool::StartWorker() {
  Worker worker;
  TRY(worker.process, WorkerProcess::Start(options_.command));
  const std::string script = options_.command.script.string();
  Result<WorkerMessage> hello = ReceiveFromWorker(worker.process->socket(), WaitFor(worker, options_.import_timeout));
  if (!hello) {
    std::string end = worker.process->Kill();
    if (hello.error().kind == ErrorKind::kCancelled) return Fail(std::move(hello).error());
    if (hello.error().kind == ErrorKind::kDeadlineExceeded) {
      end = "no end of its import within " + std::to_string(options_.import_timeout.count() / 1000) + " s";
    }
    return Fail(Error(ErrorKind::kFailedPrecondition, "cannot import " + script + ": its process met " + end));
  }
  TRY(json::object head, ParseHead(hello->head));
  if (std::optional<std::string> error = StringField(head, "error")) {
    return Fail(Error(ErrorKind::kFailedPrecondition, "cannot import " + script + ": " + *error));
  }
  const json::value* functions = head.if_contains("functions");
  worker.pair = functions != nullptr && functions->is_array() && functions->as_array().size() == 2;
  Log(LogLevel::kInfo, "handler_ready", {{"script", script}, {"process", worker.process->id()}});
  return worker;
}

// Counts a failure and waits before the next start. False when the server stops.
bool HandlerPool::WaitBackoff(const Error& reason) {
  Log(LogLevel::kError, "handler_failed", {{"script", options_.command.script.string()}, {"reason", reason.message}});
  std::deque<Job> refused;
  std::unique_lock lock(mutex_);
  last_failure_ = reason;
  ++failures_;
  ++down_;
  if (down_ == options_.workers) refused.swap(queue_);
  milliseconds pause = std::min(options_.first_backoff * (1 << std::min(failures_ - 1, 10)), kMostBackoff);
  changed_.notify_all();
  lock.unlock();
  for (Job& job : refused) job.done(ErrorText(503, reason.message));
  lock.lock();
  changed_.wait_for(lock, pause, [this] { return stopping_; });
  --down_;
  return !stopping_;
}

std::optional<HandlerPool::Job> HandlerPool::Take() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
  if (stopping_) return std::nullopt;
  Job job = std::move(queue_.front());
  queue_.pop_front();
  return job;
}

// Answers queued requests that nobody waits for any more, while all workers are busy.
void HandlerPool::Expire() {
  std::vector<std::pair<Job, Error>> expired;
  {
    std::lock_guard lock(mutex_);
    for (auto job = queue_.begin(); job != queue_.end();) {
      Result<void> checked = job->request.context.Check();
      if (checked) {
        ++job;
        continue;
      }
      expired.emplace_back(std::move(*job), checked.error());
      job = queue_.erase(job);
    }
  }
  for (auto& [job, error] : expired) job.done(ErrorText(HttpStatusOf(error), error.message));
}

WorkerWait HandlerPool::WaitFor(const Worker& worker, milliseconds timeout) {
  WorkerWait wait{.process = worker.process->pidfd(), .stop = stop_.get(), .on_pause = [this] { Expire(); }};
  if (timeout > timeout.zero()) wait.deadline = steady_clock::now() + timeout;
  return wait;
}

HandlerReply HandlerPool::Serve(Worker& worker, Job& job) {
  if (Result<void> checked = job.request.context.Check(); !checked) {
    return ErrorText(HttpStatusOf(checked.error()), checked.error().message);
  }
  Result<HandlerReply> reply = Call(worker, job.request, WaitFor(worker, options_.call_timeout));
  std::unique_lock lock(mutex_);
  if (reply) {
    failures_ = 0;
    return *std::move(reply);
  }
  int failures = ++failures_;
  lock.unlock();
  std::string end = worker.process->Kill();
  worker.process.reset();
  if (reply.error().kind == ErrorKind::kCancelled) return ErrorText(503, "the server is stopping");
  bool late = reply.error().kind == ErrorKind::kDeadlineExceeded;
  std::string text = late ? "the handler took longer than " + std::to_string(options_.call_timeout.count()) + " ms"
                          : reply.error().message + ": " + end;
  Error error(late ? ErrorKind::kDeadlineExceeded : ErrorKind::kUnavailable, text);
  if (failures > 1) {
    // The next start waits; this client need not.
    job.done(ErrorText(late ? 504 : 500, text));
    job.done = [](HandlerReply) {};
    --failures_;
    WaitBackoff(error);
  } else {
    Log(LogLevel::kError, "handler_failed", {{"script", options_.command.script.string()}, {"reason", text}});
  }
  return ErrorText(late ? 504 : 500, text);
}

Result<WorkerMessage> HandlerPool::CallFunction(const Worker& worker, std::string head, std::string_view body,
                                                const WorkerWait& wait) {
  TRYV(SendToWorker(worker.process->socket(), head, body, wait));
  return ReceiveFromWorker(worker.process->socket(), wait);
}

Result<HandlerReply> HandlerPool::Call(const Worker& worker, HandlerRequest& request, const WorkerWait& wait) {
  json::object head{{"call", worker.pair ? "input_handler" : "handler"}, {"context", ContextJson(request)}};
  std::string body = std::move(request.body);
  if (worker.pair) {
    TRY(WorkerMessage input, CallFunction(worker, json::serialize(head), body, wait));
    TRY(json::object accepted, ParseHead(input.head));
    if (auto error = StringField(accepted, "error")) return ErrorText(500, *error);
    RestReply inference = Infer(request, std::move(input.body));
    head["call"] = "output_handler";
    json::object headers{{"Content-Type", "application/json"},
                         {"Content-Length", std::to_string(inference.body.size())}};
    head["response"] = json::object{{"status", inference.status}, {"headers", std::move(headers)}};
    body = std::move(inference.body);
  }
  TRY(WorkerMessage output, CallFunction(worker, json::serialize(head), body, wait));
  TRY(json::object reply, ParseHead(output.head));
  if (auto error = StringField(reply, "error")) return ErrorText(500, *error);
  return HandlerReply{200, StringField(reply, "content_type").value_or(request.accept_header), std::move(output.body)};
}

RestReply HandlerPool::Infer(const HandlerRequest& request, std::string body) {
  if (!request.target) return ErrorReply(request.target.error());
  std::promise<RestReply> promise;
  std::future<RestReply> reply = promise.get_future();
  RestCall call{.spec = request.target->first,
                .method = request.target->second,
                .body = std::move(body),
                .decoder = {},
                .context = request.context};
  RunRestInference(service_, std::move(call),
                   [promise = std::move(promise)](RestReply done) mutable { promise.set_value(std::move(done)); });
  return reply.get();
}

}  // namespace sagebrush::serving
