#include "cli/app.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <iterator>
#include <map>
#include <string>

#include "base/clock.h"
#include "cli/config.h"
#include "cli/doctor.h"
#include "cli/endpoint_commands.h"
#include "cli/env_command.h"
#include "cli/format.h"
#include "cli/job_commands.h"
#include "cli/locations.h"
#include "client/session.h"
#include "io/file.h"

namespace sagebrush::cli {
namespace {

constexpr char kFooter[] = R"help(Examples:
  sagebrush serve &                      start the engine
  eval "$(sagebrush env)"                point this shell's AWS SDKs at it
  python my_fit_script.py                an unmodified SageMaker script
  sagebrush jobs                         what runs, what ran
  sagebrush attach NAME                  live output until the job ends
  sagebrush endpoints                    what is deployed

Exit codes: 0 done, 1 the job failed or doctor found something missing, 2 no such job or endpoint, 3 the job was
stopped, 4 no engine answers, 5 refused, 64 wrong usage, 130 Ctrl-C.)help";

// Where parsed arguments go. One command runs per process.
struct Arguments {
  std::string data_dir, name, since, host;
  std::map<std::string, std::string> properties;  // flags of `serve` that were given
  client::ListQuery query;
  client::ListQuery endpoint_query;
  client::Invocation invocation{.content_type = "application/json"};
  std::string file = "-", data;
  bool json = false, unset = false, explain = false, follow = false, timestamps = false, no_prefix = false,
       wait = false;
};

class Application {
 public:
  Application(Terminal& terminal, const Hooks& hooks) : terminal_(terminal), hooks_(hooks) { Define(); }

  int Run(int argc, const char* const* argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::Success& asked) {  // --help
      terminal_.Out(app_.help("", CLI::AppFormatMode::Normal));
      return kOk;
    } catch (const CLI::ParseError& error) {
      terminal_.Note(fmt::format("sagebrush: {}", error.what()));
      terminal_.Note("`sagebrush --help` and `sagebrush COMMAND --help` tell what there is.");
      return kUsage;
    }
    auto data_dir = ResolveDataDirectory(arguments_.data_dir, ProcessEnvironment, geteuid() == 0);
    if (!data_dir) return UsageError(data_dir.error());
    data_dir_ = *data_dir;
    CLI::App* chosen = app_.get_subcommands().front();
    while (!chosen->get_subcommands().empty()) chosen = chosen->get_subcommands().front();
    return commands_.at(chosen)();
  }

 private:
  void Define();
  void DefineServe();
  void DefineEnv();
  void DefineJobCommands();
  void DefineEndpointCommands();
  void DefineInvoke(CLI::App* endpoints);
  void DefineMachineCommands();
  CLI::App* Add(const std::string& name, const std::string& about, const std::string& footer,
                std::function<int()> command, CLI::App* parent = nullptr) {
    CLI::App* sub = (parent == nullptr ? &app_ : parent)->add_subcommand(name, about);
    sub->footer(footer);
    commands_[sub] = std::move(command);
    return sub;
  }
  void AddJobName(CLI::App* sub) { sub->add_option("NAME", arguments_.name, "The training job's name")->required(); }
  void AddEndpointName(CLI::App* sub) { sub->add_option("NAME", arguments_.name, "The endpoint's name")->required(); }
  // `one`: what prints, with an example of a name.
  void AddLineOptions(CLI::App* sub, const std::string& host_option, const std::string& one);

  int Serve();
  int Env();
  int Config();
  int Doctor();
  int Invoke();
  int WithEngine(const std::function<int(CommandContext&)>& command);
  Result<client::LogSelection> Selection() const;

  int UsageError(const Error& error) {
    terminal_.Fail(error);
    return kUsage;
  }
  Result<Configuration> Load() { return LoadConfiguration(data_dir_, ProcessEnvironment, arguments_.properties); }

  Terminal& terminal_;
  const Hooks& hooks_;
  CLI::App app_{"Sagebrush runs SageMaker workloads on machines you own.", "sagebrush"};
  Arguments arguments_;
  std::filesystem::path data_dir_;
  std::map<const CLI::App*, std::function<int()>> commands_;
};

void Application::Define() {
  app_.require_subcommand(1);
  app_.fallthrough();
  app_.footer(kFooter);
  app_.add_option("--data-dir", arguments_.data_dir,
                  "The engine's directory [SAGEBRUSH_HOME, else /var/lib/sagebrush or ~/.local/share/sagebrush]");
  DefineServe();
  DefineEnv();
  DefineJobCommands();
  DefineEndpointCommands();
  DefineMachineCommands();
}

void Application::DefineServe() {
  CLI::App* sub = Add("serve", "Run the engine until Ctrl-C or SIGTERM; running jobs go on without it",
                      "Settings may also stand in sagebrush.toml of the data directory and in the environment;\n"
                      "`sagebrush config --explain` tells them all.\n\nExamples:\n  sagebrush serve\n"
                      "  sagebrush serve --listen 127.0.0.1:9000 --data-dir /srv/sagebrush",
                      [this] { return Serve(); });
  for (const Property& property : Properties()) {
    sub->add_option_function<std::string>(
        property.Flag(),
        [this, name = std::string(property.name)](const std::string& value) { arguments_.properties[name] = value; },
        fmt::format("{} [{}]", property.meaning, property.bounds));
  }
}

void Application::DefineEnv() {
  CLI::App* sub = Add("env", "Print what points the AWS SDKs of a shell at the engine",
                      "Examples:\n  eval \"$(sagebrush env)\"           use the engine in this shell\n"
                      "  eval \"$(sagebrush env --unset)\"   and no longer\n"
                      "  sagebrush env --json              for other programs\n\n"
                      "The output holds the engine's secret key. With no engine running, eval fails.",
                      [this] { return Env(); });
  sub->add_flag("--json", arguments_.json, "A JSON object instead of shell lines; null: unset it");
  sub->add_flag("--unset", arguments_.unset, "Take it back; a proxy that was set before is restored");
}

void Application::AddLineOptions(CLI::App* sub, const std::string& host_option, const std::string& one) {
  sub->add_option("--since", arguments_.since, "Only lines since then: 90s, 10m, 2h, 1d ago, or 2026-01-31T12:00:00Z");
  sub->add_option(host_option, arguments_.host, fmt::format("Only the lines of this {}", one));
  sub->add_flag("--timestamps,-t", arguments_.timestamps, "Each line's time in front of it (UTC)");
  sub->add_flag("--no-prefix", arguments_.no_prefix, "Lines without the name of what printed them");
}

void Application::DefineJobCommands() {
  CLI::App* jobs =
      Add("jobs", "List training jobs, newest first",
          "Examples:\n  sagebrush jobs\n  sagebrush jobs --status Failed --limit 5\n  sagebrush jobs --json", [this] {
            return WithEngine(
                [this](CommandContext& context) { return ListJobs(context, arguments_.query, arguments_.json); });
          });
  jobs->add_option("--status", arguments_.query.status, "Only jobs in this status")
      ->check(CLI::IsMember({"InProgress", "Completed", "Failed", "Stopping", "Stopped"}));
  jobs->add_option("--name-contains", arguments_.query.name_contains, "Only jobs with this in their name");
  jobs->add_option("--limit", arguments_.query.limit, "At most so many [20]")->check(CLI::Range(1, 10'000));
  jobs->add_flag("--json", arguments_.json, "A JSON array");

  CLI::App* attach =
      Add("attach", "Show a job's live output until it ends",
          "The job's lines go to standard output, all else to standard error. Ctrl-C detaches; the job goes on.\n"
          "Exit code: 0 completed, 1 failed, 2 no such job, 3 stopped, 130 detached.\n\n"
          "Examples:\n  sagebrush attach my-job\n  sagebrush attach my-job --host algo-2 > algo-2.log",
          [this] {
            return WithEngine([this](CommandContext& context) {
              auto selection = Selection();
              if (!selection) return UsageError(selection.error());
              return AttachJob(
                  context, arguments_.name,
                  {.selection = *selection, .timestamps = arguments_.timestamps, .hosts = !arguments_.no_prefix});
            });
          });
  AddJobName(attach);
  AddLineOptions(attach, "--host", "host, e.g. algo-1");

  CLI::App* logs = Add("logs", "Print a job's output",
                       "Examples:\n  sagebrush logs my-job\n  sagebrush logs my-job -f --since 10m", [this] {
                         return WithEngine([this](CommandContext& context) {
                           auto selection = Selection();
                           if (!selection) return UsageError(selection.error());
                           return PrintLogs(context, arguments_.name,
                                            {.selection = *selection,
                                             .timestamps = arguments_.timestamps,
                                             .hosts = !arguments_.no_prefix,
                                             .follow = arguments_.follow});
                         });
                       });
  AddJobName(logs);
  AddLineOptions(logs, "--host", "host, e.g. algo-1");
  logs->add_flag("--follow,-f", arguments_.follow, "Go on until the job ends");

  CLI::App* describe = Add("describe", "Tell all about a job", "Example:\n  sagebrush describe my-job", [this] {
    return WithEngine(
        [this](CommandContext& context) { return DescribeJob(context, arguments_.name, arguments_.json); });
  });
  AddJobName(describe);
  describe->add_flag("--json", arguments_.json, "The reply of DescribeTrainingJob as it is");

  CLI::App* stop = Add("stop", "Stop a job: SIGTERM to its program, SIGKILL 120 s later; artifacts are kept",
                       "Example:\n  sagebrush stop my-job --wait", [this] {
                         return WithEngine([this](CommandContext& context) {
                           return StopJob(context, arguments_.name, arguments_.wait);
                         });
                       });
  AddJobName(stop);
  stop->add_flag("--wait", arguments_.wait, "Return when it has stopped");
}

void Application::DefineEndpointCommands() {
  CLI::App* endpoints = Add("endpoints", "List endpoints, newest first; describe, invoke and delete one",
                            "Examples:\n  sagebrush endpoints\n  sagebrush endpoints describe NAME\n"
                            "  sagebrush endpoints logs NAME -f\n"
                            "  sagebrush endpoints invoke NAME --data '{\"instances\": [[1.0, 2.0]]}'\n"
                            "  sagebrush endpoints delete NAME",
                            [this] {
                              return WithEngine([this](CommandContext& context) {
                                return ListEndpoints(context, arguments_.endpoint_query, arguments_.json);
                              });
                            });
  endpoints->require_subcommand(0, 1);
  endpoints->add_option("--status", arguments_.endpoint_query.status, "Only endpoints in this status")
      ->check(CLI::IsMember({"Creating", "InService", "Updating", "Failed", "Deleting"}));
  endpoints->add_option("--name-contains", arguments_.endpoint_query.name_contains,
                        "Only endpoints with this in their name");
  endpoints->add_option("--limit", arguments_.endpoint_query.limit, "At most so many [20]")
      ->check(CLI::Range(1, 10'000));
  endpoints->add_flag("--json", arguments_.json, "The reply of DescribeEndpoint; of several, in an array");

  CLI::App* describe = Add(
      "describe", "Tell all about an endpoint", "",
      [this] {
        return WithEngine(
            [this](CommandContext& context) { return DescribeEndpoint(context, arguments_.name, arguments_.json); });
      },
      endpoints);
  AddEndpointName(describe);
  CLI::App* logs = Add(
      "logs", "Print what an endpoint's instances have printed",
      "Example:\n  sagebrush endpoints logs NAME -f --since 10m",
      [this] {
        return WithEngine([this](CommandContext& context) {
          auto selection = Selection();
          if (!selection) return UsageError(selection.error());
          return PrintEndpointLogs(context, arguments_.name,
                                   {.selection = *selection,
                                    .timestamps = arguments_.timestamps,
                                    .instances = !arguments_.no_prefix,
                                    .follow = arguments_.follow});
        });
      },
      endpoints);
  AddEndpointName(logs);
  AddLineOptions(logs, "--instance", "instance, as lines without --no-prefix name it");
  logs->add_flag("--follow,-f", arguments_.follow, "Go on until Ctrl-C, or until the endpoint is deleted");
  DefineInvoke(endpoints);
  CLI::App* remove = Add(
      "delete", "Delete an endpoint; its model, its configuration and its log stay", "",
      [this] {
        return WithEngine(
            [this](CommandContext& context) { return DeleteEndpoint(context, arguments_.name, arguments_.wait); });
      },
      endpoints);
  AddEndpointName(remove);
  remove->add_flag("--wait", arguments_.wait, "Return when it is gone");
}

void Application::DefineInvoke(CLI::App* endpoints) {
  CLI::App* invoke = Add(
      "invoke", "Send a request to an endpoint, and print what the model answers",
      "Examples:\n  sagebrush endpoints invoke NAME --data '{\"instances\": [[1.0, 2.0]]}'\n"
      "  sagebrush endpoints invoke NAME rows.csv --content-type text/csv > predictions.json",
      [this] { return Invoke(); }, endpoints);
  AddEndpointName(invoke);
  CLI::Option* file = invoke->add_option("FILE", arguments_.file, "The request's body [-: standard input]");
  invoke->add_option("--data", arguments_.data, "The request's body itself")->excludes(file);
  invoke->add_option("--content-type", arguments_.invocation.content_type, "[application/json]");
  invoke->add_option("--accept", arguments_.invocation.accept, "The form of the answer, if the model has several");
  invoke->add_option("--variant", arguments_.invocation.variant, "Only this production variant");
}

void Application::DefineMachineCommands() {
  CLI::App* doctor = Add("doctor", "Check this machine, and say what mends what is missing",
                         "Exit code 1 when something mandatory is missing.", [this] { return Doctor(); });
  doctor->add_flag("--json", arguments_.json, "A JSON array");
  CLI::App* config = Add("config", "Show the engine's settings and where each comes from",
                         "Examples:\n  sagebrush config\n  sagebrush config --explain", [this] { return Config(); });
  config->add_flag("--explain", arguments_.explain, "Every setting's meaning, default and bounds");
  Add("version", "Print the version", "", [this] {
    terminal_.Out("sagebrush " SAGEBRUSH_VERSION "\n");
    return static_cast<int>(kOk);
  });
}

int Application::Serve() {
  auto configuration = Load();
  if (!configuration) return UsageError(configuration.error());
  ServeOptions& options = configuration->options;
  if (options.agent.empty()) options.agent = BesideThisProgram("sagebrush-agent");
  if (options.uv.empty()) options.uv = FindUv({}, data_dir_);
  return hooks_.serve(options);
}

int Application::Env() {
  if (arguments_.unset) {
    EnvironmentPlan plan = PlanUnset(ProcessEnvironment);
    terminal_.Out(arguments_.json ? JsonObject(plan) : ShellLines(plan));
    return kOk;
  }
  auto fail = [this](const Error& error) {
    // Without this, eval of nothing would succeed and a script would go on to the real AWS.
    if (!arguments_.json) terminal_.Out("false\n");
    return terminal_.Fail(error);
  };
  auto configuration = Load();
  if (!configuration) {
    fail(configuration.error());
    return kUsage;
  }
  auto target = FindTarget(data_dir_, configuration->options.region);
  if (!target) return fail(target.error());
  std::filesystem::path bundle = data_dir_ / "ca/bundle.pem";
  if (access(bundle.c_str(), R_OK) != 0) {
    return fail(NotFound(fmt::format("{} cannot be read. Restart the engine, which makes it.", bundle.string())));
  }
  EnvironmentPlan plan = PlanEnvironment(*target, bundle, ProcessEnvironment);
  for (const std::string& note : plan.notes) terminal_.Note(note);
  terminal_.Out(arguments_.json ? JsonObject(plan) : ShellLines(plan));
  return kOk;
}

int Application::Config() {
  if (arguments_.explain) {
    terminal_.Out(ExplainConfiguration());
    return kOk;
  }
  auto configuration = Load();
  if (!configuration) return UsageError(configuration.error());
  terminal_.Out(ShowConfiguration(*configuration));
  return kOk;
}

int Application::Doctor() {
  auto configuration = Load();
  if (!configuration) return UsageError(configuration.error());
  std::vector<Requirement> requirements = hooks_.driver_requirements(configuration->options);
  for (Requirement& requirement : CheckMachine(*configuration)) requirements.push_back(std::move(requirement));
  return ReportRequirements(terminal_, requirements, arguments_.json);
}

int Application::Invoke() {
  client::Invocation& invocation = arguments_.invocation;
  invocation.endpoint = arguments_.name;
  invocation.body = arguments_.data;
  if (invocation.body.empty() && arguments_.file == "-") {
    invocation.body.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else if (invocation.body.empty()) {
    Result<std::string> body = io::ReadFile(arguments_.file);
    if (!body) return UsageError(body.error());
    invocation.body = *std::move(body);
  }
  return WithEngine([&](CommandContext& context) { return InvokeEndpoint(context, invocation); });
}

int Application::WithEngine(const std::function<int(CommandContext&)>& command) {
  auto configuration = Load();
  if (!configuration) return UsageError(configuration.error());
  client::Session session([this, region = configuration->options.region] { return FindTarget(data_dir_, region); });
  SignalWaiter waiter;
  SystemClock clock;
  CommandContext context{.terminal = terminal_, .engine = session, .waiter = waiter, .clock = clock};
  int code = command(context);
  terminal_.Flush();
  return code;
}

Result<client::LogSelection> Application::Selection() const {
  client::LogSelection selection{.since_ms = std::nullopt, .host = arguments_.host};
  if (arguments_.since.empty()) return selection;
  selection.since_ms = ParseSince(arguments_.since, WallClockMs());
  if (!selection.since_ms) {
    return Fail(InvalidArgument(fmt::format(
        "--since {} is neither a time ago such as 90s, 10m, 2h, 1d nor a UTC time such as 2026-01-31T12:00:00Z.",
        arguments_.since)));
  }
  return selection;
}

}  // namespace

int Main(int argc, const char* const* argv, Terminal& terminal, const Hooks& hooks) {
  return Application(terminal, hooks).Run(argc, argv);
}

}  // namespace sagebrush::cli
