#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/python_value.h"
#include "driver/driver.h"

// What the hosted images' training toolkit (sagemaker-training 5.1.4 with sagemaker-tensorflow-training 20.5.0) tells a
// script: arguments and SM_* variables, derived from the job by pure functions.
namespace sagebrush::agent {

struct MachineFacts {
  int cpus = 1;
  int gpus = 0;
  int neurons = 0;
};

// The request's hyperparameters, decoded: those for the script, and the toolkit's own (sagemaker_*).
struct Hyperparameters {
  PythonValue::Dict script;
  PythonValue::Dict toolkit;

  static Hyperparameters Decode(const std::map<std::string, std::string>& raw);
  std::string Toolkit(const std::string& name) const;  // as text; "" when absent
  bool Enabled(const std::string& name) const;
};

// The hosts that `distribution` is for, in the order of their numbers: those of the groups that it names
// (sagemaker_distribution_instance_groups), else those of this host's group; none when nothing is distributed. A host
// that is not among them runs the script by itself, as hosted.
std::vector<std::string> DistributionHosts(const driver::InstanceSpec& spec, const Hyperparameters& hyperparameters);

// `--key value …`, sorted; `-k` for one letter; a dict as a=1,b=2.
std::vector<std::string> ScriptArguments(const Hyperparameters& hyperparameters);

// The whole environment of the program, sorted: defaults, then SM_*, then the spec's variables, each over the former.
std::map<std::string, std::string> ProgramEnvironment(const driver::InstanceSpec& spec,
                                                      const Hyperparameters& hyperparameters,
                                                      const MachineFacts& machine);

// The program's command line; kInvalidArgument with what to do when the job names none.
Result<std::vector<std::string>> ProgramCommand(const driver::InstanceSpec& spec,
                                                const Hyperparameters& hyperparameters);
// The interpreter: the environment's, or the one in PATH.
std::string PythonOf(const driver::InstanceSpec& spec);
// The working directory and whether the toolkit's contract (source archive, requirements) applies.
bool UsesToolkit(const driver::InstanceSpec& spec);

// Where the program of an instance that serves is looked for: the environment's bin, then PATH.
std::string ServiceSearchPath(const driver::InstanceSpec& spec, const std::string& path);
// Why an instance cannot serve that has no such program.
std::string MissingServer(const driver::Service& service);

// A command line for people, quoted where a shell would need it.
std::string JoinCommand(const std::vector<std::string>& argv);
std::string ShellQuote(const std::string& text);

}  // namespace sagebrush::agent
