#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "control/instance_groups.h"
#include "control/training_job_table.h"
#include "driver/driver.h"
#include "wire/sigv4.h"

namespace sagebrush::control {

// "<job>.<attempt>.<rank>": the same whoever computes it, so that a restart finds what was started.
InstanceId InstanceIdOf(const JobName& job, int attempt, int rank);
struct InstanceIdParts {
  JobName job;
  int attempt = 0;
  int rank = 0;
};
Result<InstanceIdParts> ParseInstanceId(const InstanceId& id);

// What the instances of a job share: who is in the gang, as resourceconfig.json tells it. Made once, as it grows with
// the gang and so would the cost of every instance.
struct Gang {
  std::vector<InstanceGroup> groups;
  int count = 0;
  std::string hosts_json, groups_json;
};
Gang GangOf(const gen::sagemaker::CreateTrainingJobRequest& request);

// The part of an instance's specification that follows from the request alone: names, limits, configuration files,
// hyperparameters, entry point. Environment, credentials and staged paths are the reconciler's to add.
Result<driver::InstanceSpec> InstanceSpecOf(const TrainingJobRecord& record, const Gang& gang,
                                            const std::string& job_arn, int rank);

// How the programs of an instance reach the engine, whichever kind of instance it is: endpoint, region and key pair,
// and the authorities to trust ("" for those that they know).
void AddEngineAccess(const wire::Credentials& credentials, const std::string& region,
                     const std::filesystem::path& ca_bundle, driver::InstanceSpec& spec);

}  // namespace sagebrush::control
