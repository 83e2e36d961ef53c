#include "io/event_loops.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

namespace sagebrush::io {
namespace {

thread_local EventLoop* current_loop = nullptr;

}  // namespace

EventLoop::EventLoop() : context_(1), work_(asio::make_work_guard(context_)) {
  thread_ = std::jthread([this] { Run(); });
}

// A client that waits for its answer sends its next request within microseconds of it. To sleep meanwhile costs more
// processor time than to look for it, most of all in a virtual machine, and makes the client wait for the wake-up. So
// the loop keeps looking for a moment as long as that is worth it, and tries again now and then when it was not.
void EventLoop::Run() {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::microseconds kLook{30};  // for so long
  constexpr int kMostCredit = 4;                  // that many looks in vain, and then
  constexpr int kSleeps = 16;                     // that many times none
  current_loop = this;
  int credit = kMostCredit, sleeps = 0;
  while (!context_.stopped()) {
    context_.poll();
    if (credit == 0 && ++sleeps > kSleeps) credit = 1;
    if (credit == 0) {
      context_.run_one();
      continue;
    }
    size_t found = 0;
    for (auto since = Clock::now(); found == 0 && Clock::now() - since < kLook;) found = context_.poll();
    credit = found > 0 ? std::min(credit + 1, kMostCredit) : credit - 1;
    if (credit == 0) sleeps = 0;
    if (found == 0) context_.run_one();
  }
}

EventLoop::~EventLoop() {
  work_.reset();
  context_.stop();
}

EventLoop* EventLoop::Current() { return current_loop; }

void EventLoop::Later(std::move_only_function<void()> work) { asio::post(context_, std::move(work)); }

EventLoops::EventLoops(int count) {
  for (int index = 0; index < count; ++index) members_.emplace_back();
}

EventLoops::Place EventLoops::Take() {
  Member& member = *std::ranges::min_element(
      members_, {}, [](const Member& of) { return of.places.load(std::memory_order_relaxed); });
  member.places.fetch_add(1, std::memory_order_relaxed);
  return {member.loop.context().get_executor(),
          {&member, [](Member* of) { of->places.fetch_sub(1, std::memory_order_relaxed); }}};
}

}  // namespace sagebrush::io
