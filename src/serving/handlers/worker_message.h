#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/file.h"

namespace sagebrush::serving {

// A message between the server and a Python worker (sagebrush_handler_worker.py describes the form): a head in JSON
// and a body of any bytes, which travels in shared memory when it is of kSharedFromBytes or more.
struct WorkerMessage {
  std::string head;
  std::string body;
};

inline constexpr size_t kSharedFromBytes = size_t{64} * 1024;
inline constexpr size_t kMostHeadBytes = size_t{16} * 1024 * 1024;

// What ends a wait for a worker before its time.
struct WorkerWait {
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  int process = -1;                // pidfd of the worker
  int stop = -1;                   // readable when the server stops
  std::function<void()> on_pause;  // called about once a second meanwhile
};

// Both block their thread on the non-blocking `socket`. kDeadlineExceeded; kUnavailable when the worker has ended or
// broken the form; kCancelled when the server stops.
Result<void> SendToWorker(int socket, std::string_view head, std::string_view body, const WorkerWait& wait);
Result<WorkerMessage> ReceiveFromWorker(int socket, const WorkerWait& wait);

}  // namespace sagebrush::serving
