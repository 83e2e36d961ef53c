#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace sagebrush::control {

// Whether the condition has come true within half a minute.
inline bool Eventually(const std::function<bool()>& condition) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace sagebrush::control
