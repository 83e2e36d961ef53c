#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace sagebrush::serving {

// The threads that decode, compute and encode, with a bounded queue in front of them. I/O threads hand requests over
// and never compute. Thread-safe. The destructor runs what is queued and joins.
class Executor {
 public:
  using Work = std::move_only_function<void()>;
  Executor(int threads, size_t queue_limit);
  ~Executor();
  Executor(const Executor&) = delete;

  // False, with `work` untouched, when the queue is full: the caller answers "503, try again" at once.
  bool TrySubmit(Work& work);
  size_t queued() const;

 private:
  void Loop();

  const size_t queue_limit_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Work> queue_;
  bool ending_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace sagebrush::serving
