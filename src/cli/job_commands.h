#pragma once

#include <cstdint>
#include <string>

#include "cli/command_context.h"
#include "client/log_follower.h"
#include "client/training_jobs.h"

namespace sagebrush::cli {

// The commands about jobs.

int ListJobs(CommandContext& context, const client::ListQuery& query, bool json);
int DescribeJob(CommandContext& context, const std::string& name, bool json);

// Follows the job's output until it ends; the exit code tells the outcome.
struct AttachOptions {
  client::LogSelection selection;
  bool timestamps = false;
  bool hosts = true;
};
int AttachJob(CommandContext& context, const std::string& name, const AttachOptions& options);

// Prints the output so far; with `follow`, goes on until the job ends and then succeeds whatever the outcome.
struct LogsOptions {
  client::LogSelection selection;
  bool timestamps = false;
  bool hosts = true;
  bool follow = false;
};
int PrintLogs(CommandContext& context, const std::string& name, const LogsOptions& options);

int StopJob(CommandContext& context, const std::string& name, bool wait);

}  // namespace sagebrush::cli
