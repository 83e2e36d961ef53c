#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace sagebrush::io {

namespace asio = boost::asio;

// The threads of the engine: one io_context run by a few threads, which must never block, and a pool whose threads
// may (disk, SQLite, hashing, archives, subprocesses). Owned by the application; outlives everything that uses it.
class Runtime {
 public:
  Runtime(int io_threads, int blocking_threads);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  asio::io_context& context() { return context_; }
  asio::thread_pool& blocking_pool() { return blocking_pool_; }

  // Runs the io_context on this runtime's threads until Stop. Blocks the caller.
  void Run();
  // Ends Run. Callable from any thread, once or more.
  void Stop();

 private:
  int io_threads_;
  asio::io_context context_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::thread_pool blocking_pool_;
};

// Runs `work` on a thread that nobody waits for, not even the process at its end: for calls that can neither be
// cancelled nor bounded. It must own all that it touches.
void RunUnawaited(std::move_only_function<void()> work);

// co_await OnBlockingPool(runtime, f): f() on the blocking pool, its value back on the caller's executor. f is not
// cancelled: it runs to its end. f must not throw.
template <class F>
asio::awaitable<std::invoke_result_t<F&>> OnBlockingPool(Runtime& runtime, F function) {
  using T = std::invoke_result_t<F&>;
  auto executor = co_await asio::this_coro::executor;
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(T)>(
      [&runtime, executor](auto handler, F f) {
        asio::post(runtime.blocking_pool(), [executor, handler = std::move(handler), f = std::move(f)]() mutable {
          T value = f();
          asio::post(executor, [handler = std::move(handler), value = std::move(value)]() mutable {
            std::move(handler)(std::move(value));
          });
        });
      },
      asio::use_awaitable, std::move(function));
}

}  // namespace sagebrush::io
