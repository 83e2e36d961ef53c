#include "control/work_queue.h"

#include <chrono>

#include "base/clock.h"

namespace sagebrush::control {

WorkQueue::WorkQueue(Options options) : options_(std::move(options)) {}

WorkQueue::~WorkQueue() { Stop(); }

void WorkQueue::Start() {
  for (int i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { WorkLoop(); });
  threads_.emplace_back([this] { TimerLoop(); });
}

void WorkQueue::BeginStop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  timer_wake_.notify_all();
}

void WorkQueue::Stop() {
  BeginStop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void WorkQueue::Add(const std::string& key) {
  std::lock_guard lock(mutex_);
  if (running_.contains(key)) {
    again_.insert(key);
  } else if (queued_.insert(key).second) {
    ready_.push_back(key);
    wake_.notify_one();
  }
}

void WorkQueue::AddAfter(const std::string& key, int64_t delay_ms) {
  std::lock_guard lock(mutex_);
  delayed_.emplace(MonotonicMs() + delay_ms, key);
  timer_wake_.notify_one();
}

void WorkQueue::WorkLoop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !ready_.empty(); });
    if (stopping_) return;
    std::string key = std::move(ready_.front());
    ready_.pop_front();
    queued_.erase(key);
    running_.insert(key);
    lock.unlock();
    options_.work(key);
    lock.lock();
    running_.erase(key);
    if (again_.erase(key) > 0 && queued_.insert(key).second) {
      ready_.push_back(key);
      wake_.notify_one();
    }
  }
}

void WorkQueue::TimerLoop() {
  int64_t next_resync_ms = MonotonicMs();
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    int64_t now_ms = MonotonicMs();
    std::vector<std::string> due;
    while (!delayed_.empty() && delayed_.begin()->first <= now_ms) {
      due.push_back(delayed_.begin()->second);
      delayed_.erase(delayed_.begin());
    }
    bool resync = now_ms >= next_resync_ms;
    if (resync) next_resync_ms = now_ms + options_.resync_ms;
    if (resync || !due.empty()) {
      lock.unlock();
      if (resync && options_.resync) {
        for (std::string& key : options_.resync()) due.push_back(std::move(key));
      }
      for (const std::string& key : due) Add(key);
      lock.lock();
      continue;
    }
    int64_t until_ms = delayed_.empty() ? next_resync_ms : std::min(next_resync_ms, delayed_.begin()->first);
    timer_wake_.wait_for(lock, std::chrono::milliseconds(until_ms - now_ms));
  }
}

}  // namespace sagebrush::control
