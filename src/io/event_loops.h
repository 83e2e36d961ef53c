#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <list>
#include <memory>
#include <thread>

namespace sagebrush::io {

namespace asio = boost::asio;

// An io_context with one thread of its own. What happens on it is never handed from thread to thread, so small work
// that is done right here costs no wake-up; the price is that long work keeps everything else of this loop waiting.
class EventLoop {
 public:
  EventLoop();
  ~EventLoop();  // stops the loop, joins its thread
  EventLoop(const EventLoop&) = delete;

  // The loop whose thread is the calling one, or null.
  static EventLoop* Current();
  asio::io_context& context() { return context_; }

  // Does `work` on this loop's thread, after all that has become ready before: first every waiting input is taken in,
  // then `work` is done. From any thread; from the loop's own it needs no system call.
  void Later(std::move_only_function<void()> work);

 private:
  void Run();

  asio::io_context context_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::jthread thread_;
};

// A fixed set of event loops, among which connections are spread. Thread-safe.
class EventLoops {
 public:
  explicit EventLoops(int count);

  // A place on the loop that has the fewest. It counts until the lease is dropped.
  struct Place {
    asio::any_io_executor executor;
    std::shared_ptr<void> lease;
  };
  Place Take();

 private:
  struct Member {
    EventLoop loop;
    std::atomic<int> places = 0;
  };
  std::list<Member> members_;
};

}  // namespace sagebrush::io
