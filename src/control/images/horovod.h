#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace sagebrush::control {

// Horovod is published as source alone, and is built against one version of TensorFlow: a wheel of it fits an
// environment only when its metadata.json names the TensorFlow that is installed there. In this order:
//   1. a wheel in the directory of prebuilt ones that fits
//   2. one that was built here before, kept by content: what it was built from and against
//   3. a build, of minutes: unmodified up to TensorFlow 2.18, with MPI and Gloo; from 2.19 on without the operation for
//      XLA, whose source those versions no longer compile, and with MPI alone
// Whatever it is must import in the environment, or it is left for the next.
struct HorovodInstall {
  std::string version;                                           // "0.28.1"
  std::filesystem::path python;                                  // of the environment, which has TensorFlow already
  std::filesystem::path built;                                   // where wheels that are built here are kept
  std::filesystem::path prebuilt;                                // "" for none
  std::string uv;                                                // the program
  std::vector<std::pair<std::string, std::string>> environment;  // for it
  const std::atomic<bool>* cancelled = nullptr;
  std::function<void(std::string)> say;  // what takes long
};

// Blocks until it is installed. Thread-safe for different environments. kUnavailable with what to install when the
// build lacks a tool, or with the compiler's words when it fails.
Result<void> InstallHorovod(const HorovodInstall& install);

// The share of a build that is done, in percent, in a line that make prints ("[ 35%] Building …"); -1 for other lines.
int BuildShare(std::string_view line);

}  // namespace sagebrush::control
