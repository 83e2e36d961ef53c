#pragma once

#include <string>

#include "cli/command_context.h"
#include "client/endpoints.h"
#include "client/log_follower.h"

namespace sagebrush::cli {

// The commands about endpoints.

int ListEndpoints(CommandContext& context, const client::ListQuery& query, bool json);
int DescribeEndpoint(CommandContext& context, const std::string& name, bool json);

// Prints what the instances have printed; with `follow`, goes on until Ctrl-C or the endpoint is gone. An engine that
// restarts meanwhile is waited for.
struct EndpointLogsOptions {
  client::LogSelection selection;
  bool timestamps = false;
  bool instances = true;  // each line's instance in front of it
  bool follow = false;
};
int PrintEndpointLogs(CommandContext& context, const std::string& name, const EndpointLogsOptions& options);

// The reply's body goes out as it is.
int InvokeEndpoint(CommandContext& context, const client::Invocation& invocation);

// With `wait`, returns when the endpoint is gone.
int DeleteEndpoint(CommandContext& context, const std::string& name, bool wait);

}  // namespace sagebrush::cli
