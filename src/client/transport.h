#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sagebrush::client {

// One operation of an AWS JSON service, as an X-Amz-Target header names it.
struct Operation {
  std::string_view service;  // of the signature's scope: "sagemaker", "logs"
  std::string_view target;   // "SageMaker", "Logs_20140328"
  std::string_view name;     // "DescribeTrainingJob"
};

// Which of the jobs, or of the endpoints.
struct ListQuery {
  std::string status;         // "" for any
  std::string name_contains;  // "" for any
  size_t limit = 20;          // the newest
};

// A request for an endpoint's model.
struct Invocation {
  std::string endpoint, content_type, accept, variant;  // accept and variant: "" for none
  std::string body;
};
struct InvocationReply {
  std::string content_type, variant;  // the variant that has answered
  std::string body;
};

// Carries a call to an engine and brings the reply's body back. One thread at a time; calls block.
//
// Errors: an error reply of the service has the AWS code and message; kUnavailable means that no reply came (engine
// down, restarting, connection cut) and that the next call looks for the engine anew.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual Result<std::string> CallJson(const Operation& operation, std::string_view body) = 0;
  virtual Result<InvocationReply> Invoke(const Invocation& invocation) = 0;
};

// How a loop of polls passes its time, so that Ctrl-C can end it and a test can script it.
class Waiter {
 public:
  virtual ~Waiter() = default;
  // Waits; false as soon as the user has asked to end (then the caller returns without further calls).
  virtual bool Wait(int64_t milliseconds) = 0;
  virtual int64_t MonotonicMs() const = 0;
};

}  // namespace sagebrush::client
