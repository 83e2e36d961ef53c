#include "io/runtime.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/strand.hpp>
#include <latch>
#include <thread>

#include "base/result.h"

namespace sagebrush::io {
namespace {

// Runs the coroutine on a runtime of its own to its end.
void RunToEnd(const std::function<asio::awaitable<void>(Runtime&)>& body) {
  Runtime runtime(2, 2);
  std::exception_ptr failure;
  asio::co_spawn(runtime.context(), body(runtime), [&](std::exception_ptr error) {
    failure = error;
    runtime.Stop();
  });
  runtime.Run();
  ASSERT_EQ(failure, nullptr);
}

asio::awaitable<void> WorkElsewhere(Runtime& runtime) {
  auto strand = asio::make_strand(runtime.context());
  co_await asio::post(strand, asio::use_awaitable);
  std::thread::id here = std::this_thread::get_id(), there;
  int value = co_await OnBlockingPool(runtime, [&there] {
    there = std::this_thread::get_id();
    return 42;
  });
  EXPECT_EQ(value, 42);
  EXPECT_NE(here, there);
  EXPECT_TRUE(runtime.context().get_executor().running_in_this_thread());
}

TEST(OnBlockingPoolTest, WorksOnAPoolThreadAndComesBackToTheIoThreads) { RunToEnd(WorkElsewhere); }

asio::awaitable<void> CarryMoveOnlyValuesAndErrors(Runtime& runtime) {
  auto input = std::make_unique<int>(7);
  auto work = [input = std::move(input)]() mutable { return std::move(input); };
  std::unique_ptr<int> output = co_await OnBlockingPool(runtime, std::move(work));
  EXPECT_EQ(*output, 7);
  auto failing = []() -> Result<int> { return Fail(InvalidArgument("no")); };
  Result<int> failed = co_await OnBlockingPool(runtime, failing);
  EXPECT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "no");
}

TEST(OnBlockingPoolTest, CarriesMoveOnlyValuesAndErrors) { RunToEnd(CarryMoveOnlyValuesAndErrors); }

asio::awaitable<void> Arrive(Runtime& runtime, std::latch& both, std::atomic<int>& finished, std::latch& done) {
  auto meet = [&both] {
    both.arrive_and_wait();  // returns only when two pool threads are here at once
    return true;
  };
  co_await OnBlockingPool(runtime, meet);
  ++finished;
  done.count_down();
}

TEST(OnBlockingPoolTest, BlockedWorkBlocksNeitherOtherWorkNorTheIoThreads) {
  Runtime runtime(1, 2);
  std::latch both(2), done(2);
  std::atomic<int> finished{0};
  asio::co_spawn(runtime.context(), Arrive(runtime, both, finished, done), asio::detached);
  asio::co_spawn(runtime.context(), Arrive(runtime, both, finished, done), asio::detached);
  std::thread io([&] { runtime.Run(); });
  done.wait();
  runtime.Stop();
  io.join();
  EXPECT_EQ(finished, 2);
}

TEST(RuntimeTest, StopEndsRunAndMayComeFirstOrTwice) {
  Runtime runtime(2, 1);
  runtime.Stop();
  runtime.Stop();
  runtime.Run();
  EXPECT_TRUE(runtime.context().stopped());
}

}  // namespace
}  // namespace sagebrush::io
