#include "serving/rest/await_inference.h"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <utility>

namespace sagebrush::serving {
namespace {

namespace asio = boost::asio;

// Waits for the reply and for the deadline; whichever comes first resumes the caller. Touched on the strand alone.
template <class Handler>
class Answer : public std::enable_shared_from_this<Answer<Handler>> {
 public:
  Answer(const asio::any_io_executor& strand, Handler handler) : timer_(strand), handler_(std::move(handler)) {}

  void Limit(std::chrono::steady_clock::time_point deadline) {
    if (deadline == std::chrono::steady_clock::time_point::max()) return;
    timer_.expires_at(deadline);
    timer_.async_wait([self = this->shared_from_this()](const boost::system::error_code& error) {
      if (error) return;
      self->Give(ErrorReply(Error(ErrorKind::kDeadlineExceeded, "The model did not answer before the deadline.")));
    });
  }

  void Give(RestReply reply) {
    if (!handler_) return;
    Handler handler = *std::move(handler_);
    handler_.reset();
    timer_.cancel();
    std::move(handler)(std::move(reply));
  }

 private:
  asio::steady_timer timer_;
  std::optional<Handler> handler_;
};

}  // namespace

asio::awaitable<RestReply> AwaitRestInference(ModelService& service, RestCall call) {
  asio::any_io_executor strand = co_await asio::this_coro::executor;
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(RestReply)>(
      [&service, strand](auto handler, RestCall started) {
        auto answer = std::make_shared<Answer<decltype(handler)>>(strand, std::move(handler));
        answer->Limit(started.context.deadline);
        started.context.loop = io::EventLoop::Current();
        RunRestInference(service, std::move(started), [strand, answer](RestReply reply) {
          asio::post(strand, [answer, reply = std::move(reply)]() mutable { answer->Give(std::move(reply)); });
        });
      },
      asio::use_awaitable, std::move(call));
}

}  // namespace sagebrush::serving
