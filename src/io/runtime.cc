#include "io/runtime.h"

namespace sagebrush::io {

Runtime::Runtime(int io_threads, int blocking_threads)
    : io_threads_(io_threads),
      context_(io_threads),
      work_(asio::make_work_guard(context_)),
      blocking_pool_(static_cast<size_t>(blocking_threads)) {}

Runtime::~Runtime() {
  Stop();
  blocking_pool_.join();
}

void Runtime::Run() {
  std::vector<std::jthread> threads;
  for (int i = 1; i < io_threads_; ++i) threads.emplace_back([this] { context_.run(); });
  context_.run();
}

void RunUnawaited(std::move_only_function<void()> work) { std::thread(std::move(work)).detach(); }

void Runtime::Stop() {
  work_.reset();
  context_.stop();
}

}  // namespace sagebrush::io
