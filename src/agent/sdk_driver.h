#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "agent/failure_text.h"

// Version 3 of the SageMaker Python SDK does not leave it to the image to start the user's script. It sends a shell
// script and drivers in Python along, as the channel sm_drivers, and names them as the container's command. What these
// write into /opt/ml/output/failure says that a command failed, and not why.
namespace sagebrush::agent {

// Whether `command`, the program's, is that of the SDK's drivers.
bool RunsSdkDriver(const std::vector<std::string>& command);

// Whether a failure file's text is the drivers' and not the user's own.
bool IsSdkDriverText(std::string_view failure);

// The reason of a program that the drivers ran, by its own last words: `last_lines` are what was printed, by it and by
// them. As ProgramFailure, with the command that the drivers say they run (of MPI, with the process that failed first),
// or InstallFailure when they were installing packages.
std::string SdkDriverFailure(ProgramEnd end, const std::deque<std::string>& last_lines,
                             const std::vector<std::string>& command);

}  // namespace sagebrush::agent
