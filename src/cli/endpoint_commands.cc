#include "cli/endpoint_commands.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "cli/endpoint_view.h"
#include "cli/job_view.h"

namespace sagebrush::cli {
namespace {

using client::Endpoint;

constexpr int64_t kPollMs = 200;
constexpr std::string_view kEngineLost =
    "sagebrush: the engine does not answer; the endpoint goes on. Waiting for the engine …";

int FailForEndpoint(CommandContext& context, const std::string& name, const Error& error) {
  auto newest = [](client::Transport& engine, size_t limit) {
    return client::ListEndpoints(engine, {.status = "", .name_contains = "", .limit = limit});
  };
  return FailForName(context, name, error, {"endpoints", "sagebrush endpoints", newest});
}

// Calls `look` now and then until it says that all is over (false) or fails; an engine that does not answer is waited
// for. kInterrupted on Ctrl-C.
template <class Look>
Result<int> Repeat(CommandContext& context, Look look) {
  bool lost = false;
  while (true) {
    Result<bool> goes_on = look();
    context.terminal.Flush();
    bool away = !goes_on && goes_on.error().kind == ErrorKind::kUnavailable;
    if (away != std::exchange(lost, away)) {
      context.terminal.Note(std::string(away ? kEngineLost : kEngineFound));
    }
    if (!goes_on && !away) return Fail(std::move(goes_on).error());
    if (goes_on && !*goes_on) return kOk;
    if (!context.waiter.Wait(kPollMs)) return kInterrupted;
  }
}

// False once there is no such endpoint.
Result<bool> IsThere(CommandContext& context, const std::string& name) {
  auto endpoint = client::DescribeEndpoint(context.engine, name);
  if (!endpoint && endpoint.error().kind == ErrorKind::kNotFound) return false;
  if (!endpoint) return Fail(std::move(endpoint).error());
  return true;
}

}  // namespace

int ListEndpoints(CommandContext& context, const client::ListQuery& query, bool json) {
  auto names = client::ListEndpoints(context.engine, query);
  if (!names) return context.terminal.Fail(names.error());
  std::vector<Endpoint> endpoints;
  for (const std::string& name : *names) {
    auto endpoint = client::DescribeEndpoint(context.engine, name);
    if (!endpoint && endpoint.error().kind == ErrorKind::kNotFound) continue;  // deleted meanwhile
    if (!endpoint) return context.terminal.Fail(endpoint.error());
    endpoints.push_back(*std::move(endpoint));
  }
  if (json) {
    context.terminal.Out(EndpointsJson(endpoints));
  } else if (!endpoints.empty()) {
    context.terminal.Out(EndpointTable(endpoints));
  } else if (query.status.empty() && query.name_contains.empty()) {
    context.terminal.Note("No endpoints. A script makes one by estimator.deploy(…) or TensorFlowModel(…).deploy(…).");
  } else {
    context.terminal.Note("No endpoint matches. `sagebrush endpoints` without conditions lists them all.");
  }
  return kOk;
}

int DescribeEndpoint(CommandContext& context, const std::string& name, bool json) {
  auto endpoint = client::DescribeEndpoint(context.engine, name);
  if (!endpoint) return FailForEndpoint(context, name, endpoint.error());
  context.terminal.Out(json ? endpoint->json + "\n" : EndpointSummary(*endpoint));
  return kOk;
}

int PrintEndpointLogs(CommandContext& context, const std::string& name, const EndpointLogsOptions& options) {
  LinePrinter printer(context.terminal, {.hosts = options.instances, .timestamps = options.timestamps});
  client::LogFollower log(context.engine, client::EndpointLog(name), std::nullopt, options.selection);
  bool any = false;
  auto print = [&](const client::LogLine& line) {
    any = true;
    printer.Print(line);
  };
  // What an endpoint has printed outlives it, so only one that is not there and has no log is unknown.
  auto there = IsThere(context, name);
  if (!there) return FailForEndpoint(context, name, there.error());
  if (auto polled = log.Poll(print); !polled) return context.terminal.Fail(polled.error());
  context.terminal.Flush();
  if (!*there && !any) return FailForEndpoint(context, name, NotFound("There is no endpoint named " + name + "."));
  if (options.follow) {
    auto followed = Repeat(context, [&]() -> Result<bool> {
      TRY(bool goes_on, IsThere(context, name));
      TRYV(log.Poll(print));
      return goes_on;
    });
    return followed ? *followed : context.terminal.Fail(followed.error());
  }
  if (!any && context.terminal.traits().out_is_terminal) context.terminal.Note("No such lines.");
  return kOk;
}

int InvokeEndpoint(CommandContext& context, const client::Invocation& invocation) {
  auto reply = context.engine.Invoke(invocation);
  if (!reply) return context.terminal.Fail(reply.error());
  context.terminal.Out(reply->body);
  if (context.terminal.traits().out_is_terminal && !reply->body.ends_with('\n')) context.terminal.Out("\n");
  return kOk;
}

int DeleteEndpoint(CommandContext& context, const std::string& name, bool wait) {
  if (auto deleted = client::DeleteEndpoint(context.engine, name); !deleted) {
    return FailForEndpoint(context, name, deleted.error());
  }
  context.terminal.Note(fmt::format("Deleting {}.", name));
  if (!wait) return kOk;
  auto gone = Repeat(context, [&] { return IsThere(context, name); });
  return gone ? *gone : context.terminal.Fail(gone.error());
}

}  // namespace sagebrush::cli
