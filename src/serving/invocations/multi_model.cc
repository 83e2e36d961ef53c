#include "serving/invocations/multi_model.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json.hpp>
#include <optional>

#include "base/log.h"
#include "serving/core/status.h"
#include "serving/invocations/artifact.h"

namespace sagebrush::serving {
namespace {

namespace json = boost::json;

bool AnyAvailable(const std::vector<VersionStatus>& versions) {
  return std::ranges::any_of(versions, [](const VersionStatus& v) { return v.state == VersionState::kAvailable; });
}

// As GET /v1/models/NAME says it.
json::value StatusJson(const std::vector<VersionStatus>& versions) {
  json::array list;
  for (const VersionStatus& version : versions) {
    std::string_view code = version.error ? CodeName(CodeOf(*version.error)) : "OK";
    json::object status{{"error_code", code}, {"error_message", version.error ? version.error->message : ""}};
    list.push_back(json::object{{"version", std::to_string(version.version)},
                                {"state", ToString(version.state)},
                                {"status", std::move(status)}});
  }
  return json::object{{"model_version_status", std::move(list)}};
}

int LoadStatus(const Error& error) {
  switch (error.kind) {
    case ErrorKind::kAlreadyExists:
      return 409;
    case ErrorKind::kDeadlineExceeded:
      return 408;
    case ErrorKind::kResourceExhausted:
      return 507;
    case ErrorKind::kNotFound:
      return 404;
    default:
      return 500;
  }
}

// The directory whose versions are to be served as `name`.
Result<std::filesystem::path> BasePath(const std::string& name, const std::string& url) {
  Result<std::vector<ModelConfig>> found = FindModels(url);
  if (found && found->size() == 1) return found->front().base_path;
  return Fail(NotFound("Could not find valid base path " + url + " for servable " + name +
                       (found ? ": it holds more than one model" : "")));
}

// The end of a blocking change, and of the wait for it: whichever is first.
struct Waiting {
  explicit Waiting(http::asio::any_io_executor executor) : timer(executor) {}
  http::asio::steady_timer timer;  // used on its executor only
  std::optional<Result<void>> result;
  bool given_up = false;
  std::mutex mutex;  // of the two above
};

}  // namespace

http::Response JsonResponse(int status, std::string body) {
  http::Response response{.status = status, .headers = {}, .body = std::move(body), .head_length = {}};
  response.headers.Add("Content-Type", "application/json");
  if (status == 503) response.headers.Add("Retry-After", "1");
  return response;
}

http::Response ErrorResponse(int status, std::string_view message) {
  return JsonResponse(status, "{\"error\": \"" + JsonEscape(message) + "\"}");
}

MultiModel::~MultiModel() {
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return changes_ == 0; });
}

void MultiModel::BeginChange() {
  std::lock_guard lock(mutex_);
  ++changes_;
}

void MultiModel::EndChange() {
  std::lock_guard lock(mutex_);
  --changes_;
  ended_.notify_all();
}

Result<void> MultiModel::LoadNow(const std::string& name, const std::string& url) {
  std::lock_guard lock(changing_);
  std::vector<ModelConfig> before = service_.configs();
  if (std::ranges::find(before, name, &ModelConfig::name) != before.end()) {
    return Fail(Error(ErrorKind::kAlreadyExists, "Model " + name + " is already loaded."));
  }
  TRY(std::filesystem::path base, BasePath(name, url));
  std::vector<ModelConfig> after = before;
  after.push_back(ModelConfig{.name = name, .base_path = base, .policy = AllVersions{}, .labels = {}});
  Result<void> loaded = service_.Reload(std::move(after));
  if (!loaded) {
    // The error may be another model's, which has long been in this state.
    Result<std::vector<VersionStatus>> versions = service_.Status({.name = name, .version = {}, .label = {}});
    if (versions && AnyAvailable(*versions)) loaded = {};
  }
  std::optional<HandlerCode> code = loaded ? FindHandlerCode(url) : std::nullopt;
  if (code) loaded = handlers_.Add(name, *code);
  if (loaded) return loaded;
  if (Result<void> undone = service_.Reload(std::move(before)); !undone) {
    Log(LogLevel::kWarning, "model_set_incomplete", {{"reason", undone.error().message}});
  }
  if (loaded.error().kind == ErrorKind::kNotFound)
    loaded.error().kind = ErrorKind::kInternal;  // the directory is there
  return loaded;
}

Result<void> MultiModel::UnloadNow(const std::string& name) {
  std::lock_guard lock(changing_);
  std::vector<ModelConfig> configs = service_.configs();
  if (std::erase_if(configs, [&](const ModelConfig& model) { return model.name == name; }) == 0) {
    return Fail(NotFound("Model " + name + " is not loaded yet."));
  }
  Result<void> reloaded = service_.Reload(std::move(configs));
  if (!reloaded && Has(name)) return reloaded;
  handlers_.Remove(name);
  return {};
}

http::asio::awaitable<http::Response> MultiModel::Load(std::string body) {
  boost::system::error_code ec;
  json::value request = json::parse(body, ec);
  const json::object* fields = ec ? nullptr : request.if_object();
  const json::value* name = fields == nullptr ? nullptr : fields->if_contains("model_name");
  const json::value* url = fields == nullptr ? nullptr : fields->if_contains("url");
  if (name == nullptr || url == nullptr || !name->is_string() || !url->is_string() || name->as_string().empty()) {
    co_return ErrorResponse(400, "The body must be {\"model_name\": \"NAME\", \"url\": \"DIRECTORY\"}");
  }
  std::string model(name->as_string()), directory(url->as_string());
  auto executor = co_await http::asio::this_coro::executor;
  auto waiting = std::make_shared<Waiting>(executor);
  waiting->timer.expires_after(wait_time_);
  BeginChange();
  http::asio::post(runtime_.blocking_pool(), [this, waiting, executor, model, directory] {
    Result<void> result = LoadNow(model, directory);
    std::unique_lock lock(waiting->mutex);
    waiting->result = std::move(result);
    bool undo = waiting->given_up && *waiting->result;
    lock.unlock();
    if (undo && !UnloadNow(model)) Log(LogLevel::kWarning, "late_model_stays", {{"model", model}});
    http::asio::post(executor, [waiting] { waiting->timer.cancel(); });
    EndChange();
  });
  co_await waiting->timer.async_wait(http::asio::as_tuple(http::asio::use_awaitable));
  std::unique_lock lock(waiting->mutex);
  if (!waiting->result) {
    waiting->given_up = true;
    lock.unlock();
    co_return ErrorResponse(408, "Timed out: model " + model + " was not loaded within " +
                                     std::to_string(wait_time_.count() / 1000) + " s");
  }
  Result<void> loaded = std::move(*waiting->result);
  lock.unlock();
  if (!loaded) co_return ErrorResponse(LoadStatus(loaded.error()), loaded.error().message);
  co_return JsonResponse(200, "{\"success\": \"Successfully loaded model " + JsonEscape(model) + ".\"}");
}

http::asio::awaitable<http::Response> MultiModel::Unload(std::string name) {
  BeginChange();
  Result<void> unloaded = co_await io::OnBlockingPool(runtime_, [this, name] {
    Result<void> result = UnloadNow(name);
    EndChange();
    return result;
  });
  if (!unloaded) co_return ErrorResponse(LoadStatus(unloaded.error()), unloaded.error().message);
  co_return JsonResponse(200, "{\"success\": \"Successfully unloaded model " + JsonEscape(name) + ".\"}");
}

bool MultiModel::Has(const std::string& name) const {
  std::vector<ModelConfig> configs = service_.configs();
  return std::ranges::find(configs, name, &ModelConfig::name) != configs.end();
}

http::Response MultiModel::List() const {
  json::object models;
  for (const ModelConfig& model : service_.configs()) {
    Result<std::vector<VersionStatus>> versions = service_.Status({.name = model.name, .version = {}, .label = {}});
    models[model.name] = versions ? StatusJson(*versions) : json::object{{"error", versions.error().message}};
  }
  return JsonResponse(200, json::serialize(models));
}

http::Response MultiModel::Describe(const std::string& name) const {
  if (!Has(name)) return ErrorResponse(404, "Model " + name + " is not loaded yet.");
  Result<std::vector<VersionStatus>> versions = service_.Status({.name = name, .version = {}, .label = {}});
  if (!versions) return ErrorResponse(HttpStatusOf(versions.error()), versions.error().message);
  return JsonResponse(200, json::serialize(StatusJson(*versions)));
}

}  // namespace sagebrush::serving
