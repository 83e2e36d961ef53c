#pragma once

#include <string_view>

namespace sagebrush::serving {

// The text of sagebrush_handler_worker.py, which the build puts into the program.
std::string_view WorkerSource();

}  // namespace sagebrush::serving
