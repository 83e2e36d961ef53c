#pragma once

#include <chrono>

namespace sagebrush::cli {

// The end of the engine's patience with itself. Whatever a stop waits for, an engine may be killed at any moment and
// jobs go on without it: so one that has not stopped by the limit says what it was waiting for (engine_stop_overdue)
// and ends with code 1. Call once in a process.
void BeginStopLimit(std::chrono::seconds limit);
// What is taken down next, for that message: a literal. From any thread.
void StopReaches(const char* part);

}  // namespace sagebrush::cli
