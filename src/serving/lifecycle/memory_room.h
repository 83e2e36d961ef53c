#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace sagebrush::serving {

// Bytes of memory that this process may still take without swapping: what the machine can give, or what its control
// group (version 1 or 2) or one above it leaves, where that is less. Page cache counts as free. nullopt where the
// system says nothing. `root` is where proc and sys are, for tests.
std::optional<int64_t> AvailableMemory(const std::filesystem::path& root = "/");

// Bytes that a SavedModel takes at the least once it is loaded: its graph and its variables.
int64_t SavedModelBytes(const std::filesystem::path& version_directory);

}  // namespace sagebrush::serving
