#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace sagebrush::control {

// Runs one function for keys that want attention: de-duplicated (a key queued twice runs once), exclusive (a key never
// runs on two threads at once; queued while it runs, it runs again), with delayed wake-ups and a periodic resync.
// Level-triggered reconcilers are built on it: a wake-up says "look", never what happened.
class WorkQueue {
 public:
  struct Options {
    std::string name;  // for logs
    int threads = 2;
    int64_t resync_ms = 500;
    std::function<void(const std::string& key)> work;
    std::function<std::vector<std::string>()> resync;  // all keys to look at again
  };

  explicit WorkQueue(Options options);
  ~WorkQueue();  // as Stop
  void Start();
  // Tells calls of `work` that take long to come to an end (stopping()); returns at once.
  void BeginStop();
  // Ends after the calls of `work` under way; queued keys are dropped.
  void Stop();
  bool stopping() const { return stopping_; }

  void Add(const std::string& key);
  void AddAfter(const std::string& key, int64_t delay_ms);

 private:
  void WorkLoop();
  void TimerLoop();

  const Options options_;
  std::mutex mutex_;
  std::condition_variable wake_, timer_wake_;
  std::atomic<bool> stopping_ = false;  // changes under mutex_, which guards all that follows
  std::deque<std::string> ready_;
  std::set<std::string> queued_, running_, again_;
  std::multimap<int64_t, std::string> delayed_;  // by monotonic time
  std::vector<std::thread> threads_;
};

}  // namespace sagebrush::control
