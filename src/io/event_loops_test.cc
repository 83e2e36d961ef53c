#include "io/event_loops.h"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <future>
#include <vector>

namespace sagebrush::io {
namespace {

TEST(EventLoop, DoesWorkOnItsOwnThreadAndKnowsIt) {
  EXPECT_EQ(EventLoop::Current(), nullptr);
  EventLoop loop;
  std::promise<EventLoop*> seen;
  loop.Later([&] { seen.set_value(EventLoop::Current()); });
  EXPECT_EQ(seen.get_future().get(), &loop);
}

// Three things are ready when the first of them asks for something later: that comes after the other two.
TEST(EventLoop, LaterIsAfterWhatIsReadyNow) {
  EventLoop loop;
  std::vector<int> order;
  std::promise<void> begin, done;
  loop.Later([gate = begin.get_future().share()] { gate.wait(); });
  loop.Later([&] {
    order.push_back(1);
    loop.Later([&] {
      order.push_back(4);
      done.set_value();
    });
  });
  for (int number : {2, 3}) loop.Later([&order, number] { order.push_back(number); });
  begin.set_value();
  done.get_future().wait();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 4}));
}

TEST(EventLoops, SpreadsPlacesAndTakesThemBack) {
  EventLoops loops(2);
  EventLoops::Place a = loops.Take(), b = loops.Take();
  EXPECT_NE(a.executor, b.executor);
  a.lease.reset();
  EventLoops::Place c = loops.Take();
  EXPECT_EQ(c.executor, a.executor);
}

}  // namespace
}  // namespace sagebrush::io
