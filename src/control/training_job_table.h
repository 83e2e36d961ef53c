#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "control/database.h"
#include "domain/training_job.h"
#include "gen/sagemaker.h"

namespace sagebrush::control {

struct TrainingJobRecord {
  gen::sagemaker::CreateTrainingJobRequest request;
  domain::TrainingJobState state;
};

// The rows of training jobs. Thread-safe; calls block. The only code that touches the tables training_jobs and intents.
class TrainingJobTable {
 public:
  explicit TrainingJobTable(Database& database) : database_(database) {}

  // ResourceInUse when the name exists, unless the same call (invocation id, not empty) created it: then success.
  Result<void> Insert(const TrainingJobRecord& record, const std::string& arn, const std::string& invocation_id);
  // ValidationException "Requested resource not found." for an unknown name.
  Result<TrainingJobRecord> Get(const JobName& name);
  // Jobs that are not final or not yet cleaned up, oldest first.
  Result<std::vector<JobName>> Active();
  Result<gen::sagemaker::ListTrainingJobsResponse> List(
      const gen::sagemaker::ListTrainingJobsRequest& request,
      const std::function<std::string(const std::string& name)>& arn_of);

  // Reads the state, lets `change` alter it and writes it, in one transaction. `change` runs again on no account; an
  // error from it leaves the row as it was. `intents` are committed together with the state.
  using Change = std::function<Result<void>(domain::TrainingJobState&)>;
  Result<domain::TrainingJobState> Update(const JobName& name, const Change& change,
                                          std::vector<std::string> intents = {});

 private:
  Database& database_;
};

}  // namespace sagebrush::control
