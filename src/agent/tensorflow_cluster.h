#pragma once

#include <string>
#include <vector>

#include "agent/toolkit.h"
#include "driver/driver.h"

// How the hosts of a job are made known to TensorFlow, and what runs beside the program for it: the layouts of
// sagemaker-tensorflow-training 20.5.0, and one for ParameterServerStrategy. See docs/distributed.md.
namespace sagebrush::agent {

enum class ClusterLayout {
  kNone,
  kMirroredWorkers,   // every host is a worker at port 8890
  kParameterServers,  // a parameter server on every host; host 1 is "master", the others are workers
  kCoordinated,       // the same with host 1 as "chief", whose end ends the others' programs
};

// The hosts of the job's cluster: those that its `distribution` is for. "Host 1" of a cluster is the first of them.
std::vector<std::string> ClusterHosts(const driver::InstanceSpec& spec);
// This host's position among them; -1 when it is not one.
int ClusterPlace(const driver::InstanceSpec& spec);

// What the job asks for on this host. kNone when it asks for parameter servers with one instance, as hosted, or for
// other hosts only. kInvalidArgument for two layouts at once or one of an unknown name.
Result<ClusterLayout> LayoutOf(const driver::InstanceSpec& spec, const Hyperparameters& hyperparameters);

bool HasParameterServers(ClusterLayout layout);

// TF_CONFIG of the program; "" for kNone.
std::string TensorFlowConfig(const driver::InstanceSpec& spec, ClusterLayout layout);

// The parameter server of this host: its command line, and its variables, which are the program's but for its own
// TF_CONFIG, no GPUs and no way to the user's modules.
std::vector<std::string> ParameterServerCommand(const driver::InstanceSpec& spec);
std::vector<std::string> ParameterServerVariables(const driver::InstanceSpec& spec, ClusterLayout layout,
                                                  const std::vector<std::string>& of_program);

}  // namespace sagebrush::agent
