#include "routing/invoker.h"

#include <utility>

#include "io/event_loops.h"

namespace sagebrush::routing {
namespace {

namespace asio = http::asio;
using Clock = std::chrono::steady_clock;

constexpr int kMostAttempts = 3;  // at connections that turn out to be closed before anything was sent
constexpr size_t kPiece = 256 * 1024;

}  // namespace

// Idle connections. A connection belongs to the event loop it was made on: only requests of that loop use it.
class Invoker::Pool {
 public:
  explicit Pool(size_t most) : most_(most) {}

  std::shared_ptr<http::Upstream> Take(const InstanceId& instance) {
    while (true) {
      std::shared_ptr<http::Upstream> upstream;
      {
        std::lock_guard lock(mutex_);
        std::vector<std::shared_ptr<http::Upstream>>& idle = idle_[{instance, io::EventLoop::Current()}];
        if (idle.empty()) return nullptr;
        upstream = std::move(idle.back());
        idle.pop_back();
      }
      if (upstream->usable()) return upstream;
    }
  }

  void Keep(const InstanceId& instance, std::shared_ptr<http::Upstream> upstream) {
    if (io::EventLoop::Current() == nullptr) return;
    std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<http::Upstream>>& idle = idle_[{instance, io::EventLoop::Current()}];
    if (idle.size() < most_) idle.push_back(std::move(upstream));
  }

  void Forget(const InstanceId& instance) {
    std::vector<std::pair<io::EventLoop*, std::vector<std::shared_ptr<http::Upstream>>>> gone;
    {
      std::lock_guard lock(mutex_);
      for (auto at = idle_.begin(); at != idle_.end();) {
        if (at->first.first != instance) {
          ++at;
          continue;
        }
        gone.emplace_back(at->first.second, std::move(at->second));
        at = idle_.erase(at);
      }
    }
    // Each is closed on its own loop.
    for (auto& [loop, upstreams] : gone) {
      if (loop != nullptr) loop->Later([upstreams = std::move(upstreams)] {});
    }
  }

 private:
  const size_t most_;
  std::mutex mutex_;
  std::map<std::pair<InstanceId, io::EventLoop*>, std::vector<std::shared_ptr<http::Upstream>>> idle_;
};

// A reply's body that is passed on while it comes. At its end the connection goes back to the pool and the invocation
// is counted; when it is dropped before, the connection is closed.
class Invoker::PooledBody final : public http::BodyReader {
 public:
  PooledBody(std::shared_ptr<Pool> pool, Router::Choice choice, std::shared_ptr<http::Upstream> upstream,
             std::unique_ptr<http::MessageBody> body, std::function<void()> at_end)
      : pool_(std::move(pool)),
        choice_(std::move(choice)),
        upstream_(std::move(upstream)),
        body_(std::move(body)),
        at_end_(std::move(at_end)) {}
  ~PooledBody() override { End(); }

  asio::awaitable<Result<std::string>> Read(size_t limit) override {
    if (!ahead_.empty()) co_return std::exchange(ahead_, {});
    Result<std::string> piece = co_await body_->Read(limit);
    if (body_->finished()) End();
    co_return piece;
  }
  std::optional<uint64_t> length() const override { return body_->length(); }

  // The first piece, which stays to be read unless it is the whole body: then it is returned.
  asio::awaitable<Result<std::optional<std::string>>> ReadWhole() {
    CO_TRY(ahead_, co_await body_->Read(kPiece));
    if (!body_->finished()) co_return std::optional<std::string>();
    End();
    co_return std::optional(std::exchange(ahead_, {}));
  }

 private:
  void End() {
    if (ended_) return;
    ended_ = true;
    if (body_->finished() && upstream_->reusable()) pool_->Keep(choice_.instance(), upstream_);
    if (at_end_) at_end_();
  }

  const std::shared_ptr<Pool> pool_;
  Router::Choice choice_;
  const std::shared_ptr<http::Upstream> upstream_;
  const std::unique_ptr<http::MessageBody> body_;  // of upstream_
  const std::function<void()> at_end_;
  std::string ahead_;
  bool ended_ = false;
};

Invoker::Invoker(io::Runtime& runtime, Router& router, driver::Driver& driver, Options options)
    : runtime_(runtime),
      router_(router),
      driver_(driver),
      options_(std::move(options)),
      pool_(std::make_shared<Pool>(options_.kept_connections)) {}

Invoker::~Invoker() = default;

void Invoker::Forget(const InstanceId& instance) { pool_->Forget(instance); }

asio::awaitable<Result<std::shared_ptr<http::Upstream>>> Invoker::Connect(const InstanceId& instance) {
  Result<io::UniqueFd> socket =
      co_await io::OnBlockingPool(runtime_, [this, &instance] { return driver_.Connect(instance, kPort); });
  if (!socket) {
    // Whatever the driver makes of it: to a caller the instance is away.
    co_return Fail(Error(ErrorKind::kUnavailable, "an instance cannot be reached: " + socket.error().message));
  }
  co_return std::make_shared<http::Upstream>(co_await asio::this_coro::executor, *std::move(socket));
}

asio::awaitable<Result<InvocationReply>> Invoker::Invoke(Invocation invocation) {
  http::ClientRequest request{.method = "POST", .target = "/invocations", .headers = std::move(invocation.headers)};
  request.body = std::move(invocation.body);
  if (http::BodyReader* stream = invocation.stream) {
    request.headers.Add("Content-Length", std::to_string(stream->length().value()));
  }
  InvocationRecord record{.endpoint = invocation.endpoint};
  Error last = Internal("no attempt was made");
  std::vector<InstanceId> tried;  // in vain: one that is just dying has the fewest requests under way
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    Result<Router::Choice> choice = router_.Choose(invocation.endpoint, invocation.target_variant, tried);
    if (!choice) co_return Fail(std::move(choice).error());
    record.variant = choice->variant();
    record.instances = choice->instances();
    std::shared_ptr<http::Upstream> upstream = pool_->Take(choice->instance());
    if (upstream == nullptr) {
      Result<std::shared_ptr<http::Upstream>> connected = co_await Connect(choice->instance());
      if (!connected) {
        last = std::move(connected).error();
        tried.push_back(choice->instance());
        continue;
      }
      upstream = *std::move(connected);
    }
    Clock::time_point begin = Clock::now();
    auto count = [observe = options_.observe, begin, received = invocation.received](InvocationRecord done,
                                                                                     int status) {
      Clock::time_point end = Clock::now();
      done.status = status;
      done.model_latency = end - begin;
      done.overhead = end - received - done.model_latency;
      if (observe) observe(done);
    };
    http::Upstream::Sending sending;
    Result<http::Upstream::Reply> reply =
        co_await upstream->Exchange(request, invocation.stream, options_.timeout, options_.stall, sending);
    if (!reply && !sending.began) {
      last = std::move(reply).error();
      tried.push_back(choice->instance());
      continue;
    }
    if (!reply) {
      if (!sending.broke) count(record, 0);
      co_return Fail(std::move(reply).error());
    }
    choice->Answered();
    InvocationReply answer{.status = reply->head.status,
                           .headers = std::move(reply->head.headers),
                           .variant = choice->variant(),
                           .instance = choice->instance()};
    auto body = std::make_shared<PooledBody>(pool_, *std::move(choice), std::move(upstream), std::move(reply->body),
                                             [count, record, status = answer.status] { count(record, status); });
    Result<std::optional<std::string>> whole = co_await body->ReadWhole();
    if (!whole) co_return Fail(std::move(whole).error());
    if (*whole) {
      answer.body = **std::move(whole);
    } else {
      answer.body = http::StreamBody{body};
    }
    co_return answer;
  }
  if (options_.observe) options_.observe(record);
  co_return Fail(std::move(last));
}

}  // namespace sagebrush::routing
