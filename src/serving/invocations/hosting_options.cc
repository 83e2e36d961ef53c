#include "serving/invocations/hosting_options.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/text.h"
#include "io/cores.h"

namespace sagebrush::serving {
namespace {

constexpr int64_t kBatchTransformQueue = 100'000'000;

class Reader {
 public:
  explicit Reader(const Environment& environment) : environment_(environment) {}

  // The variable's value; nullptr when it is unset or empty.
  const std::string* Find(std::string_view name) const {
    auto found = environment_.find(name);
    return found == environment_.end() || Trim(found->second).empty() ? nullptr : &found->second;
  }

  Result<std::optional<int64_t>> Number(std::string_view name, int64_t least, int64_t most) const {
    const std::string* text = Find(name);
    if (text == nullptr) return std::nullopt;
    std::optional<int64_t> value = ParseInt(Trim(*text));
    if (!value || *value < least || *value > most) {
      return Refuse(name, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
    }
    return value;
  }

  Result<bool> Flag(std::string_view name) const {
    const std::string* text = Find(name);
    if (text == nullptr || EqualsIgnoreCase(Trim(*text), "false")) return false;
    if (EqualsIgnoreCase(Trim(*text), "true")) return true;
    return Refuse(name, "true or false");
  }

  Result<void> OneOf(std::string_view name, std::initializer_list<std::string_view> allowed) const {
    const std::string* text = Find(name);
    if (text == nullptr) return {};
    std::string list;
    for (std::string_view word : allowed) {
      if (EqualsIgnoreCase(Trim(*text), word)) return {};
      list += (list.empty() ? "" : ", ") + std::string(word);
    }
    return Refuse(name, "one of " + list);
  }

  Fail Refuse(std::string_view name, const std::string& allowed) const {
    return Fail(InvalidArgument(std::string(name) + " is \"" + *Find(name) + "\": it must be " + allowed));
  }

 private:
  const Environment& environment_;
};

Result<void> ReadPorts(const Reader& reader, HostingOptions& options) {
  TRY(auto bind, reader.Number("SAGEMAKER_BIND_TO_PORT", 1, 65535));
  options.bind_port = static_cast<uint16_t>(bind.value_or(options.bind_port));
  constexpr std::string_view kRange = "SAGEMAKER_SAFE_PORT_RANGE";
  if (const std::string* text = reader.Find(kRange)) {
    std::vector<std::string_view> ends = Split(*text, '-');
    std::optional<int64_t> low = ParseInt(Trim(ends[0]));
    std::optional<int64_t> high = ends.size() == 2 ? ParseInt(Trim(ends[1])) : std::nullopt;
    if (!low || !high || *low < 1 || *high > 65535 || *high <= *low) {
      return reader.Refuse(kRange, "\"LOW-HIGH\" with two ports or more, as in 9000-9999");
    }
    options.grpc_port = static_cast<uint16_t>(*low);
    options.rest_port = static_cast<uint16_t>(*low + 1);
  }
  if (options.bind_port == options.grpc_port || options.bind_port == options.rest_port) {
    return Fail(InvalidArgument("SAGEMAKER_BIND_TO_PORT (" + std::to_string(options.bind_port) +
                                ") is one of the ports for gRPC (" + std::to_string(options.grpc_port) +
                                ") and REST (" + std::to_string(options.rest_port) + "): choose another, or another " +
                                std::string(kRange)));
  }
  return {};
}

Result<void> ReadBatching(const Reader& reader, HostingOptions& options) {
  TRY(bool enabled, reader.Flag("SAGEMAKER_TFS_ENABLE_BATCHING"));
  int64_t cores = io::UsableCores();
  TRY(auto size, reader.Number("SAGEMAKER_TFS_MAX_BATCH_SIZE", 1, 1'000'000));
  TRY(auto timeout, reader.Number("SAGEMAKER_TFS_BATCH_TIMEOUT_MICROS", 0, 3'600'000'000));
  TRY(auto threads, reader.Number("SAGEMAKER_TFS_NUM_BATCH_THREADS", 1, 4096));
  TRY(auto enqueued, reader.Number("SAGEMAKER_TFS_MAX_ENQUEUED_BATCHES", 1, kBatchTransformQueue));
  if (!enabled) return {};
  BatchingParameters batching;
  batching.max_batch_size = static_cast<size_t>(size.value_or(8));
  batching.batch_timeout = std::chrono::microseconds(timeout.value_or(1000));
  batching.num_batch_threads = static_cast<size_t>(threads.value_or(cores));
  // Batch transform bounds the requests in flight itself.
  batching.max_enqueued_batches =
      static_cast<size_t>(enqueued.value_or(options.batch_transform ? kBatchTransformQueue : cores));
  batching.refuse_larger_requests = true;
  options.batching = batching;
  return {};
}

Result<void> ReadThreads(const Reader& reader, HostingOptions& options) {
  TRY(auto intra, reader.Number("SAGEMAKER_TFS_INTRA_OP_PARALLELISM", 0, 4096));
  TRY(auto inter, reader.Number("SAGEMAKER_TFS_INTER_OP_PARALLELISM", 0, 4096));
  if (intra) options.intra_op_threads = static_cast<int>(*intra);
  if (inter) options.inter_op_threads = static_cast<int>(*inter);
  TRY(auto wait, reader.Number("SAGEMAKER_TFS_WAIT_TIME_SECONDS", 1, 86'400));
  options.wait_time = std::chrono::seconds(wait.value_or(300));
  // Several servers share the models behind one nginx there; here one process uses all cores.
  TRYV(reader.Number("SAGEMAKER_TFS_INSTANCE_COUNT", 1, 1024));
  return {};
}

Result<void> ReadPythonService(const Reader& reader, HostingOptions& options) {
  TRY(auto workers, reader.Number("SAGEMAKER_GUNICORN_WORKERS", 1, 256));
  TRY(auto threads, reader.Number("SAGEMAKER_GUNICORN_THREADS", 1, 256));
  int64_t product = workers.value_or(1) * threads.value_or(1);
  if (product > 256) {
    return Fail(InvalidArgument("SAGEMAKER_GUNICORN_WORKERS × SAGEMAKER_GUNICORN_THREADS is " +
                                std::to_string(product) +
                                ": that many Python processes would be started, and 256 are the most"));
  }
  options.handler_workers = static_cast<int>(product);
  TRY(auto timeout, reader.Number("SAGEMAKER_GUNICORN_TIMEOUT_SECONDS", 0, 86'400));
  options.handler_timeout = std::chrono::seconds(timeout.value_or(30));
  TRYV(reader.OneOf("SAGEMAKER_GUNICORN_WORKER_CLASS",
                    {"gevent", "sync", "gthread", "eventlet", "tornado", "gaiohttp"}));
  TRYV(reader.OneOf("SAGEMAKER_GUNICORN_LOGLEVEL", {"debug", "info", "warning", "error", "critical"}));
  return {};
}

Result<void> ReadNginx(const Reader& reader, HostingOptions& options) {
  TRYV(reader.OneOf("SAGEMAKER_TFS_NGINX_LOGLEVEL",
                    {"debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"}));
  TRY(auto timeout, reader.Number("SAGEMAKER_NGINX_PROXY_READ_TIMEOUT_SECONDS", 1, 86'400));
  options.request_timeout = std::max(std::chrono::seconds(timeout.value_or(60)), options.handler_timeout);
  return {};
}

}  // namespace

Result<HostingOptions> ReadHostingOptions(const Environment& environment) {
  Reader reader(environment);
  HostingOptions options;
  options.batch_transform = reader.Find("SAGEMAKER_BATCH") != nullptr;
  if (const std::string* name = reader.Find("SAGEMAKER_TFS_DEFAULT_MODEL_NAME"); name != nullptr && *name != "None") {
    options.default_model = *name;
  }
  TRY(options.multi_model, reader.Flag("SAGEMAKER_MULTI_MODEL"));
  TRYV(ReadPorts(reader, options));
  TRYV(ReadBatching(reader, options));
  TRYV(ReadThreads(reader, options));
  TRYV(ReadPythonService(reader, options));
  TRYV(ReadNginx(reader, options));
  return options;
}

Environment ProcessEnvironment() {
  Environment variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view text = *entry;
    size_t equals = text.find('=');
    if (equals != std::string_view::npos) variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return variables;
}

}  // namespace sagebrush::serving
