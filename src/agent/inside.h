#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "driver/driver.h"

namespace sagebrush::agent {

// The descriptors that the agent opened outside for its tasks inside; -1 when there is none.
struct TaskFiles {
  int source = -1;  // the source archive, or that of the model that a service serves, for reading
  int model = -1;   // model.tar.gz for writing, or a directory when the model is not to be compressed
  int output = -1;  // output.tar.gz for writing
};

struct TaskPlan {
  const driver::InstanceSpec* spec = nullptr;  // outlives the instance
  std::string program;                         // of the toolkit's contract: its name in the source; else ""
  std::string search_path;                     // where a service's program is looked for, as in PATH
  TaskFiles files;
};

// The agent's work inside the instance, with the program's own rights (driver/sandbox/init.h): "prepare" unpacks the
// source and looks at it; "serve" unpacks the model and finds the program that serves it, {"program": path}, where ""
// is for none; "failure" reads /opt/ml/output/failure; "model" and "output" pack the results. Each writes
// one JSON object to `result_fd`, {"error": …} when it failed.
int RunTask(const std::string& name, const TaskPlan& plan, int result_fd);

}  // namespace sagebrush::agent
