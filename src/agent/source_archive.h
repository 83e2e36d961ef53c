#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace sagebrush::agent {

// Unpacks the gzip tar (a plain tar passes too) open at `archive_fd` into `directory`; messages call it `what`. Regular
// files, directories, and links whose targets stay inside are made; special files are skipped, as the hosted toolkit
// does. A member with an absolute name, with "..", behind a link, or a link that leads outside, fails the whole with a
// message that names it.
Result<void> ExtractArchive(int archive_fd, const std::filesystem::path& directory, const std::string& what);

}  // namespace sagebrush::agent
