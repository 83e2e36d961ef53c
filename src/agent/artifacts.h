#pragma once

#include <filesystem>

#include "base/result.h"

namespace sagebrush::agent {

// Both run inside the instance with the program's own rights: what the program could not read does not come along,
// whatever links it left. The root directory itself must not be a link; links below are stored as links. Sockets,
// FIFOs and devices are left out. Names are relative and sorted; owners are root, as in the hosted archives.

// True when the directory holds anything. kNotFound when it is absent, kInvalidArgument when it is a link.
Result<bool> HasContent(const std::filesystem::path& directory);
// A gzip tar of the directory's content, written to `output_fd`.
Result<void> PackDirectory(const std::filesystem::path& directory, int output_fd);
// Copies the regular files (also behind links) below `directory` into the open directory `output_directory_fd`.
Result<void> CopyDirectory(const std::filesystem::path& directory, int output_directory_fd);

}  // namespace sagebrush::agent
