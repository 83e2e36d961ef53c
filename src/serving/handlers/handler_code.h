#pragma once

#include <filesystem>
#include <optional>

namespace sagebrush::serving {

// The user's Python code beside a model: a directory `code` with inference.py in it.
struct HandlerCode {
  std::filesystem::path directory;                    // …/code, goes on the Python path
  std::filesystem::path script;                       // …/code/inference.py
  std::optional<std::filesystem::path> requirements;  // …/code/requirements.txt, to be installed; never with `library`
  std::optional<std::filesystem::path> library;       // …/code/lib, goes on the Python path in place of requirements
};

// nullopt when `root` has no code/inference.py. Where both code/lib and requirements.txt are there, the latter are
// ignored with a warning in the log.
std::optional<HandlerCode> FindHandlerCode(const std::filesystem::path& root);

}  // namespace sagebrush::serving
