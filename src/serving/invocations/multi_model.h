#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "http/message.h"
#include "io/runtime.h"
#include "serving/core/model_service.h"
#include "serving/handlers/handlers.h"

namespace sagebrush::serving {

// A reply of the hosting contract that is no inference.
http::Response JsonResponse(int status, std::string body);
http::Response ErrorResponse(int status, std::string_view message);

// The models of a multi-model endpoint, which the platform loads and unloads one by one. One change of the set at a
// time; a change blocks a thread of the runtime's blocking pool. Thread-safe. The destructor waits for changes under
// way, of which a load that was answered with 408 is one.
class MultiModel {
 public:
  MultiModel(io::Runtime& runtime, ModelService& service, Handlers& handlers, std::chrono::milliseconds wait_time)
      : runtime_(runtime), service_(service), handlers_(handlers), wait_time_(wait_time) {}
  ~MultiModel();

  // POST /models with {"model_name", "url"}: 200; 400 for a body of another form; 404 where `url` holds no SavedModel;
  // its own code/inference.py, if any, becomes its handlers; 408 when the model is not loaded within the wait time (it
  // is then unloaded again as soon as it can be); 409 loaded already; 507 out of memory; 500 with the model's own
  // error.
  http::asio::awaitable<http::Response> Load(std::string body);
  // DELETE /models/NAME: 200, 404.
  http::asio::awaitable<http::Response> Unload(std::string name);
  // GET /models: {"NAME": status as of /v1/models/NAME, …}. GET /models/NAME: 404 when it is not loaded.
  http::Response List() const;
  http::Response Describe(const std::string& name) const;
  bool Has(const std::string& name) const;

 private:
  Result<void> LoadNow(const std::string& name, const std::string& url);
  Result<void> UnloadNow(const std::string& name);
  void BeginChange();
  void EndChange();

  io::Runtime& runtime_;
  ModelService& service_;
  Handlers& handlers_;
  const std::chrono::milliseconds wait_time_;
  std::mutex changing_;  // held by the one change that is made
  std::mutex mutex_;
  std::condition_variable ended_;
  int changes_ = 0;  // asked for and not ended
};

}  // namespace sagebrush::serving
