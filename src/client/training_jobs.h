#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "client/logs.h"
#include "client/transport.h"

namespace sagebrush::client {

struct StatusChange {
  std::string status;  // secondary status: Starting, Training, …
  std::string message;
  int64_t started_ms = 0;
  std::optional<int64_t> ended_ms;
};

struct InputChannel {
  std::string name, s3_uri, input_mode, content_type;
};

// What people want to know of a training job. Times are wall clock in milliseconds.
struct TrainingJob {
  std::string name, arn, status, secondary_status, failure_reason;
  std::string image, input_mode, role_arn;
  std::string instance_type;
  int64_t instance_count = 0, volume_gb = 0, max_runtime_seconds = 0;
  std::optional<int64_t> created_ms, started_ms, ended_ms, modified_ms;
  std::vector<StatusChange> transitions;
  std::vector<InputChannel> channels;
  std::map<std::string, std::string> hyperparameters, environment;
  std::string output_path, model_artifact;
  std::string json;  // the reply as it came

  bool terminal() const { return status == "Completed" || status == "Failed" || status == "Stopped"; }
  // From creation to the end, or to `now_ms` for a job that goes on.
  int64_t DurationMs(int64_t now_ms) const;
};

// kNotFound for a job that does not exist, also for a name that no job can have.
Result<TrainingJob> DescribeTrainingJob(Transport& transport, std::string_view name);
// Names, newest first. Statuses: InProgress, Completed, Failed, Stopping, Stopped.
Result<std::vector<std::string>> ListTrainingJobs(Transport& transport, const ListQuery& query);
Result<void> StopTrainingJob(Transport& transport, std::string_view name);

// A stream a host.
LogSource TrainingJobLog(std::string_view name);

}  // namespace sagebrush::client
