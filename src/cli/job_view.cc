#include "cli/job_view.h"

#include <fmt/format.h>

#include <array>
#include <boost/json.hpp>
#include <utility>

#include "base/clock.h"
#include "base/text.h"
#include "cli/format.h"

namespace sagebrush::cli {
namespace {

using client::TrainingJob;
namespace json = boost::json;

constexpr std::string_view kReset = "\033[0m";
constexpr std::array<std::string_view, 6> kHostColours = {"\033[36m", "\033[33m", "\033[32m",
                                                          "\033[35m", "\033[34m", "\033[31m"};

std::string TimeOrDash(const std::optional<int64_t>& time) { return time ? FormatLocalTime(*time) : "-"; }

std::string OrDash(const std::string& text) { return text.empty() ? "-" : text; }

std::vector<Field> Pairs(const std::map<std::string, std::string>& map) {
  std::vector<Field> rows;
  for (const auto& [key, value] : map) rows.push_back({Printable(key), Printable(value)});
  return rows;
}

std::vector<Field> Statuses(const TrainingJob& job, int64_t now_ms) {
  std::vector<Field> rows;
  for (const client::StatusChange& change : job.transitions) {
    bool goes_on = !change.ended_ms && !job.terminal();
    int64_t end = change.ended_ms.value_or(goes_on ? now_ms : change.started_ms);
    std::string took = end > change.started_ms ? " (" + FormatDuration(end - change.started_ms) + ")" : "";
    rows.push_back({FormatLocalTime(change.started_ms) + "  " + change.status + took, Printable(change.message)});
  }
  return rows;
}

}  // namespace

std::string JobTable(const std::vector<TrainingJob>& jobs, int64_t now_ms) {
  std::vector<std::vector<std::string>> rows;
  for (const TrainingJob& job : jobs) {
    rows.push_back({Printable(job.name), job.status, job.secondary_status, std::to_string(job.instance_count),
                    OrDash(job.instance_type), TimeOrDash(job.created_ms), FormatDuration(job.DurationMs(now_ms))});
  }
  return FormatTable({"NAME", "STATUS", "SECONDARY", "INSTANCES", "TYPE", "CREATED", "DURATION"}, rows);
}

std::string JobsJson(const std::vector<TrainingJob>& jobs, int64_t now_ms) {
  json::array array;
  for (const TrainingJob& job : jobs) {
    json::object object{{"TrainingJobName", job.name},
                        {"TrainingJobArn", job.arn},
                        {"TrainingJobStatus", job.status},
                        {"SecondaryStatus", job.secondary_status},
                        {"InstanceCount", job.instance_count},
                        {"InstanceType", job.instance_type},
                        {"DurationSeconds", static_cast<double>(job.DurationMs(now_ms)) / 1000}};
    if (job.created_ms) object["CreationTime"] = FormatIso8601(*job.created_ms);
    if (!job.failure_reason.empty()) object["FailureReason"] = job.failure_reason;
    array.push_back(std::move(object));
  }
  return json::serialize(array) + "\n";
}

std::string JobSummary(const TrainingJob& job, int64_t now_ms) {
  std::string text = fmt::format("{}\n", Printable(job.name));
  std::vector<Field> rows = {{"ARN", Printable(job.arn)}, {"Status", job.status + " (" + job.secondary_status + ")"}};
  if (!job.failure_reason.empty()) rows.push_back({"Failure", Printable(job.failure_reason)});
  rows.push_back({"Created", TimeOrDash(job.created_ms)});
  rows.push_back({"Training", TimeOrDash(job.started_ms) + " to " + TimeOrDash(job.ended_ms)});
  rows.push_back({"Duration", FormatDuration(job.DurationMs(now_ms))});
  rows.push_back({"Instances", fmt::format("{} × {}", job.instance_count, OrDash(job.instance_type))});
  rows.push_back({"Image", OrDash(Printable(job.image))});
  rows.push_back({"Role", OrDash(Printable(job.role_arn))});
  if (job.max_runtime_seconds > 0) rows.push_back({"Time limit", FormatDuration(job.max_runtime_seconds * 1000)});
  rows.push_back({"Output", OrDash(Printable(job.output_path))});
  rows.push_back({"Model", OrDash(Printable(job.model_artifact))});
  text += FormatFields(rows) + FormatSection("Statuses", Statuses(job, now_ms));
  std::vector<Field> channels;
  for (const client::InputChannel& channel : job.channels) {
    std::string detail = Printable(channel.s3_uri);
    if (!channel.input_mode.empty()) detail += " (" + channel.input_mode + ")";
    if (!channel.content_type.empty()) detail += " " + Printable(channel.content_type);
    channels.push_back({Printable(channel.name), std::move(detail)});
  }
  return text + FormatSection("Channels", channels) + FormatSection("Hyperparameters", Pairs(job.hyperparameters)) +
         FormatSection("Environment", Pairs(job.environment));
}

std::vector<std::string> JobOutcome(const TrainingJob& job, int64_t now_ms) {
  std::string took = FormatDuration(job.DurationMs(now_ms));
  std::vector<std::string> lines;
  if (job.status == "Completed") {
    lines.push_back(fmt::format("{} completed after {}.", job.name, took));
  } else if (job.status == "Stopped") {
    lines.push_back(fmt::format("{} was stopped after {}{}.", job.name, took,
                                job.secondary_status == "MaxRuntimeExceeded" ? ": its time limit had passed" : ""));
  } else {
    lines.push_back(fmt::format("{} failed after {}.", job.name, took));
  }
  if (!job.failure_reason.empty()) lines.push_back("  reason: " + Printable(job.failure_reason));
  if (!job.model_artifact.empty() && job.status != "Failed") lines.push_back("  model:  " + job.model_artifact);
  return lines;
}

int OutcomeCode(const TrainingJob& job) {
  if (job.status == "Completed") return kOk;
  return job.status == "Stopped" ? kStopped : kFailed;
}

std::string_view LinePrinter::Colour(const std::string& host) {
  size_t place = hosts_.try_emplace(host, hosts_.size()).first->second;
  return kHostColours[place % kHostColours.size()];
}

void LinePrinter::Print(const client::LogLine& line) {
  std::string text;
  if (options_.hosts) {
    if (terminal_.traits().colour) {
      text += fmt::format("{}{} |{} ", Colour(line.host), line.host, kReset);
    } else {
      text += line.host + " | ";
    }
  }
  if (options_.timestamps) text += FormatIso8601(line.timestamp_ms) + " ";
  terminal_.Out(text + line.text + "\n");
}

}  // namespace sagebrush::cli
