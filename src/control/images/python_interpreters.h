#pragma once

#include <atomic>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace sagebrush::control {

struct PythonInterpreter {
  std::filesystem::path executable;  // real path
  std::filesystem::path prefix;      // sys.base_prefix
  std::string version;               // "3.12.1"

  std::string minor() const;  // "3.12"
};

// The Pythons of this machine, newest first: those on PATH, in /usr/bin, /usr/local/bin, below pyenv's and uv's
// version folders and in `extra`. Each is asked for its version; one that does not run is left out. One per minor. Cut
// short when `cancelled` (may be null) becomes true.
std::vector<PythonInterpreter> FindPythonInterpreters(const std::vector<std::filesystem::path>& extra = {},
                                                      const std::atomic<bool>* cancelled = nullptr);

// `installed` ordered by nearness to `wanted` ("3.12"): the same minor first, then the nearest newer and older ones.
std::vector<PythonInterpreter> ByNearness(std::vector<PythonInterpreter> installed, const std::string& wanted);

}  // namespace sagebrush::control
