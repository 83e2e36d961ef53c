#include "cli/job_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "cli/format.h"
#include "cli/job_view.h"
#include "client/job_follower.h"

namespace sagebrush::cli {
namespace {

using client::TrainingJob;

constexpr std::string_view kEngineLost =
    "sagebrush: the engine does not answer; the job goes on. Waiting for the engine to come back …";

int FailForJob(CommandContext& context, const std::string& name, const Error& error) {
  auto newest = [](client::Transport& engine, size_t limit) {
    return client::ListTrainingJobs(engine, {.status = "", .name_contains = "", .limit = limit});
  };
  return FailForName(context, name, error, {"training jobs", "sagebrush jobs", newest});
}

std::string ProgressText(const TrainingJob& job, int64_t now_ms, int64_t tick) {
  constexpr std::array<const char*, 4> kSpinner = {"|", "/", "-", "\\"};
  return fmt::format("{} {} · {} · {}", kSpinner[static_cast<size_t>(tick) % kSpinner.size()], job.name,
                     job.secondary_status, FormatDuration(job.DurationMs(now_ms)));
}

struct FollowStyle {
  client::LogSelection selection;
  LinePrinter::Options lines;
  bool status = true;  // status lines and progress on standard error
};

Result<TrainingJob> Follow(CommandContext& context, TrainingJob job, const FollowStyle& style) {
  Terminal& terminal = context.terminal;
  LinePrinter printer(terminal, style.lines);
  int64_t tick = 0;
  client::FollowEvents events;
  events.line = [&](const client::LogLine& line) { printer.Print(line); };
  events.status = [&](const client::StatusChange& change) {
    if (!style.status) return;
    terminal.Note(fmt::format("{} {}{}{}", FormatLocalTime(change.started_ms), change.status,
                              change.message.empty() ? "" : " - ", Printable(change.message)));
  };
  events.tick = [&](const TrainingJob& now) {
    terminal.Flush();
    if (style.status) terminal.Progress(ProgressText(now, context.clock.NowMs(), tick++));
  };
  events.lost = [&](const Error&) { terminal.Note(std::string(kEngineLost)); };
  events.found = [&] { terminal.Note(std::string(kEngineFound)); };
  client::JobFollower follower(context.engine, context.waiter, std::move(events), style.selection);
  auto ended = follower.Run(std::move(job));
  terminal.ClearProgress();
  terminal.Flush();
  return ended;
}

// Follows without showing lines; an engine that restarts meanwhile is waited for.
Result<TrainingJob> WaitForEnd(CommandContext& context, TrainingJob job) {
  int64_t tick = 0;
  client::FollowEvents events;
  events.line = [](const client::LogLine&) {};
  events.status = [](const client::StatusChange&) {};
  events.tick = [&](const TrainingJob& now) {
    context.terminal.Progress(ProgressText(now, context.clock.NowMs(), tick++));
  };
  events.lost = [&](const Error&) { context.terminal.Note(std::string(kEngineLost)); };
  events.found = [&] { context.terminal.Note(std::string(kEngineFound)); };
  // A host that no job has: only the statuses are of interest.
  client::JobFollower follower(context.engine, context.waiter, std::move(events), {.since_ms = {}, .host = "-"});
  auto ended = follower.Run(std::move(job));
  context.terminal.ClearProgress();
  return ended;
}

int Detached(CommandContext& context, const std::string& name, std::string_view command) {
  context.terminal.Note("");
  context.terminal.Note(
      fmt::format("Detached: the job goes on. Come back with `sagebrush {} {}`, end it with "
                  "`sagebrush stop {}`.",
                  command, name, name));
  return kInterrupted;
}

}  // namespace

int ListJobs(CommandContext& context, const client::ListQuery& query, bool json) {
  auto names = client::ListTrainingJobs(context.engine, query);
  if (!names) return context.terminal.Fail(names.error());
  std::vector<TrainingJob> jobs;
  for (const std::string& name : *names) {
    auto job = client::DescribeTrainingJob(context.engine, name);
    if (!job) return context.terminal.Fail(job.error());
    jobs.push_back(*std::move(job));
  }
  int64_t now = context.clock.NowMs();
  if (json) {
    context.terminal.Out(JobsJson(jobs, now));
  } else if (!jobs.empty()) {
    context.terminal.Out(JobTable(jobs, now));
  } else if (query.status.empty() && query.name_contains.empty()) {
    context.terminal.Note(
        "No training jobs yet. Start one: eval \"$(sagebrush env)\", then run a script that calls "
        "TensorFlow(…).fit(…).");
  } else {
    context.terminal.Note("No training job matches. `sagebrush jobs` without conditions lists them all.");
  }
  return kOk;
}

int DescribeJob(CommandContext& context, const std::string& name, bool json) {
  auto job = client::DescribeTrainingJob(context.engine, name);
  if (!job) return FailForJob(context, name, job.error());
  context.terminal.Out(json ? job->json + "\n" : JobSummary(*job, context.clock.NowMs()));
  return kOk;
}

int AttachJob(CommandContext& context, const std::string& name, const AttachOptions& options) {
  auto job = client::DescribeTrainingJob(context.engine, name);
  if (!job) return FailForJob(context, name, job.error());
  auto ended =
      Follow(context, *std::move(job),
             {.selection = options.selection, .lines = {.hosts = options.hosts, .timestamps = options.timestamps}});
  if (!ended && ended.error().kind == ErrorKind::kCancelled) return Detached(context, name, "attach");
  if (!ended) return FailForJob(context, name, ended.error());
  for (const std::string& line : JobOutcome(*ended, context.clock.NowMs())) context.terminal.Note(line);
  return OutcomeCode(*ended);
}

int PrintLogs(CommandContext& context, const std::string& name, const LogsOptions& options) {
  auto job = client::DescribeTrainingJob(context.engine, name);
  if (!job) return FailForJob(context, name, job.error());
  LinePrinter::Options lines{.hosts = options.hosts, .timestamps = options.timestamps};
  if (options.follow) {
    auto ended = Follow(context, *std::move(job), {.selection = options.selection, .lines = lines, .status = false});
    if (!ended && ended.error().kind == ErrorKind::kCancelled) return Detached(context, name, "logs -f");
    return ended ? kOk : FailForJob(context, name, ended.error());
  }
  LinePrinter printer(context.terminal, lines);
  bool any = false;
  client::LogFollower log(context.engine, client::TrainingJobLog(name), std::max<int64_t>(job->instance_count, 1),
                          options.selection);
  auto polled = log.Poll([&](const client::LogLine& line) {
    any = true;
    printer.Print(line);
  });
  context.terminal.Flush();
  if (!polled) return context.terminal.Fail(polled.error());
  if (!any && context.terminal.traits().out_is_terminal) {
    bool narrowed = options.selection.since_ms || !options.selection.host.empty();
    context.terminal.Note(narrowed ? "No such lines."
                                   : fmt::format("{} has printed nothing{}.", name, job->terminal() ? "" : " yet"));
  }
  return kOk;
}

int StopJob(CommandContext& context, const std::string& name, bool wait) {
  auto job = client::DescribeTrainingJob(context.engine, name);
  if (!job) return FailForJob(context, name, job.error());
  if (job->terminal()) {
    context.terminal.Note(fmt::format("{} has ended already: {}.", name, job->status));
    return job->status == "Stopped" ? kOk : kRefused;
  }
  if (auto stopped = client::StopTrainingJob(context.engine, name); !stopped) {
    return context.terminal.Fail(stopped.error());
  }
  context.terminal.Note(fmt::format("Stopping {}: its program has 120 seconds to end by itself.", name));
  if (!wait) return kOk;
  auto ended = WaitForEnd(context, *std::move(job));
  if (!ended && ended.error().kind == ErrorKind::kCancelled) return kInterrupted;
  if (!ended) return FailForJob(context, name, ended.error());
  for (const std::string& line : JobOutcome(*ended, context.clock.NowMs())) context.terminal.Note(line);
  return ended->status == "Stopped" ? kOk : OutcomeCode(*ended);
}

}  // namespace sagebrush::cli
