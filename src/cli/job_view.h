#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/terminal.h"
#include "client/log_follower.h"
#include "client/training_jobs.h"

namespace sagebrush::cli {

// How jobs and their lines look, apart from how they are fetched.

std::string JobTable(const std::vector<client::TrainingJob>& jobs, int64_t now_ms);
std::string JobsJson(const std::vector<client::TrainingJob>& jobs, int64_t now_ms);
std::string JobSummary(const client::TrainingJob& job, int64_t now_ms);
// The lines that end `attach`.
std::vector<std::string> JobOutcome(const client::TrainingJob& job, int64_t now_ms);
// Completed 0, Failed 1, Stopped 3.
int OutcomeCode(const client::TrainingJob& job);

// "Epoch 1/5" as "algo-1 | Epoch 1/5".
class LinePrinter {
 public:
  struct Options {
    bool hosts = true;
    bool timestamps = false;
  };
  LinePrinter(Terminal& terminal, Options options) : terminal_(terminal), options_(options) {}
  void Print(const client::LogLine& line);

 private:
  std::string_view Colour(const std::string& host);

  Terminal& terminal_;
  Options options_;
  std::map<std::string, size_t> hosts_;  // in order of appearance
};

}  // namespace sagebrush::cli
