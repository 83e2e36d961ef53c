#include "control/work_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <optional>
#include <thread>

namespace sagebrush::control {
namespace {

TEST(WorkQueue, AKeyQueuedManyTimesBeforeItRunsRunsOnce) {
  std::latch started(1), go_on(1), done(2);
  std::atomic<int> runs_of_b = 0;
  WorkQueue queue({.name = "test",
                   .threads = 1,
                   .resync_ms = 1'000'000,
                   .work =
                       [&](const std::string& key) {
                         if (key == "a") {
                           started.count_down();
                           go_on.wait();
                         } else if (key == "b") {
                           ++runs_of_b;
                           done.count_down();
                         } else {
                           done.count_down();
                         }
                       },
                   .resync = nullptr});
  queue.Start();
  queue.Add("a");
  started.wait();
  for (int i = 0; i < 10; ++i) queue.Add("b");
  queue.Add("end");
  go_on.count_down();
  done.wait();
  EXPECT_EQ(runs_of_b, 1);
}

TEST(WorkQueue, AKeyQueuedWhileItRunsRunsAgainAndNeverTwiceAtOnce) {
  std::latch first_started(1), go_on(1), second_done(1);
  std::atomic<int> runs = 0, at_once = 0, most_at_once = 0;
  WorkQueue queue({.name = "test",
                   .threads = 4,
                   .resync_ms = 1'000'000,
                   .work =
                       [&](const std::string&) {
                         most_at_once = std::max(most_at_once.load(), ++at_once);
                         if (++runs == 1) {
                           first_started.count_down();
                           go_on.wait();
                         } else {
                           second_done.count_down();
                         }
                         --at_once;
                       },
                   .resync = nullptr});
  queue.Start();
  queue.Add("job");
  first_started.wait();
  queue.Add("job");
  queue.Add("job");
  go_on.count_down();
  second_done.wait();
  queue.Stop();
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(most_at_once, 1);
}

TEST(WorkQueue, WorkUnderWayIsToldOfAStop) {
  std::latch started(1);
  std::optional<WorkQueue> queue;
  queue.emplace(WorkQueue::Options{.name = "test",
                                   .threads = 1,
                                   .work =
                                       [&](const std::string&) {
                                         started.count_down();
                                         while (!queue->stopping()) std::this_thread::yield();
                                       },
                                   .resync = nullptr});
  queue->Start();
  queue->Add("job");
  started.wait();
  EXPECT_FALSE(queue->stopping());
  queue->BeginStop();
  queue->Stop();
  EXPECT_TRUE(queue->stopping());
}

TEST(WorkQueue, ResyncAndDelayedKeysComeByThemselves) {
  std::latch resynced(1), delayed(1);
  std::atomic<bool> resync_seen = false, delayed_seen = false;
  WorkQueue queue({.name = "test",
                   .threads = 1,
                   .resync_ms = 5,
                   .work =
                       [&](const std::string& key) {
                         if (key == "resync" && !resync_seen.exchange(true)) resynced.count_down();
                         if (key == "delayed" && !delayed_seen.exchange(true)) delayed.count_down();
                       },
                   .resync = [] { return std::vector<std::string>{"resync"}; }});
  queue.Start();
  queue.AddAfter("delayed", 1);
  resynced.wait();
  delayed.wait();
}

}  // namespace
}  // namespace sagebrush::control
