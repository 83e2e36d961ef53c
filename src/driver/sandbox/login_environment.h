#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sagebrush::driver {

// The variables ("NAME=value") of a program that another host starts, as a login by ssh has them: those of
// /etc/environment (`text`: a NAME=value a line, quotes around a value left out) in place of or beside `variables`. The
// SDK's MPI driver (version 3) hands its SM_* variables to the processes of other hosts by that file.
std::vector<std::string> LoginEnvironment(std::vector<std::string> variables, std::string_view text);

}  // namespace sagebrush::driver
