#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "client/transport.h"
#include "gen/logs.h"
#include "gen/sagemaker.h"
#include "wire/json.h"

namespace sagebrush::client::testing {

namespace sm = gen::sagemaker;
namespace cw = gen::logs;

// An engine for unit tests, in memory: answers the operations that the client uses, with the engine's rules for
// tokens and unknown names. It refuses what the real one would refuse. One thread.
class FakeEngine final : public Transport {
 public:
  // A job as Describe shows it; tests change its fields between calls.
  sm::DescribeTrainingJobResponse& AddJob(const std::string& name, const std::string& status = "InProgress",
                                          int64_t instances = 1) {
    order_.push_back(name);
    sm::DescribeTrainingJobResponse& job = jobs_[name];
    job.TrainingJobName = name;
    job.TrainingJobArn = "arn:aws:sagemaker:us-west-2:000000000000:training-job/" + name;
    job.TrainingJobStatus = status;
    job.SecondaryStatus = status == "InProgress" ? "Training" : status;
    job.CreationTime = {1'700'000'000'000};
    job.ModelArtifacts.S3ModelArtifacts = "s3://bucket/" + name + "/output/model.tar.gz";
    job.StoppingCondition.MaxRuntimeInSeconds = 86'400;
    job.RoleArn = "arn:aws:iam::000000000000:role/SageMakerRole";
    job.AlgorithmSpecification.emplace();
    job.AlgorithmSpecification->TrainingImage = "763104351884.dkr.ecr.us-west-2.amazonaws.com/tensorflow-training:2.19";
    job.AlgorithmSpecification->TrainingInputMode = "File";
    job.ResourceConfig.emplace();
    job.ResourceConfig->InstanceType = "ml.m5.large";
    job.ResourceConfig->InstanceCount = instances;
    job.ResourceConfig->VolumeSizeInGB = 30;
    Enter(job, "Starting", "Starting the training job");
    return job;
  }
  static void Enter(sm::DescribeTrainingJobResponse& job, const std::string& status, const std::string& message) {
    int64_t at = 1'700'000'000'000 + 1000 * static_cast<int64_t>(job.SecondaryStatusTransitions.size());
    job.SecondaryStatusTransitions.push_back({.Status = status, .StartTime = {at}, .StatusMessage = message});
  }
  void Print(const std::string& job, const std::string& host, int64_t timestamp_ms, const std::string& line) {
    streams_["/aws/sagemaker/TrainingJobs"][job + "/" + host + "-1700000000"].emplace_back(timestamp_ms, line);
  }
  sm::DescribeEndpointOutput& AddEndpoint(const std::string& name, const std::string& status = "InService") {
    endpoint_order_.push_back(name);
    sm::DescribeEndpointOutput& endpoint = endpoints_[name];
    endpoint.EndpointName = name;
    endpoint.EndpointArn = "arn:aws:sagemaker:us-west-2:000000000000:endpoint/" + name;
    endpoint.EndpointConfigName = name + "-config";
    endpoint.EndpointStatus = status;
    endpoint.CreationTime = endpoint.LastModifiedTime = {1'700'000'000'000};
    endpoint.ProductionVariants.push_back({.VariantName = "AllTraffic",
                                           .DeployedImages = {{.SpecifiedImage = "tensorflow-inference:2.19"}},
                                           .CurrentWeight = 1,
                                           .CurrentInstanceCount = 1,
                                           .DesiredInstanceCount = 2});
    return endpoint;
  }
  void RemoveEndpoint(const std::string& name) {
    endpoints_.erase(name);
    std::erase(endpoint_order_, name);
  }
  void PrintOfInstance(const std::string& endpoint, const std::string& instance, int64_t timestamp_ms,
                       const std::string& line) {
    streams_["/aws/sagemaker/Endpoints/" + endpoint]["AllTraffic/" + instance].emplace_back(timestamp_ms, line);
  }
  // The next calls fail as if no engine were there, until Up.
  void Down() { down_ = true; }
  void Up() { down_ = false; }

  size_t page_size = 2;
  std::map<std::string, int> calls;  // by operation
  std::vector<std::string> stopped;
  std::vector<Invocation> invocations;  // of endpoints that are there; each is answered with its own body

  Result<std::string> CallJson(const Operation& operation, std::string_view body) override {
    ++calls[std::string(operation.name)];
    if (down_) return Fail(Error(ErrorKind::kUnavailable, "Connection refused."));
    if (operation.name == "DescribeTrainingJob") return Describe(body);
    if (operation.name == "ListTrainingJobs") return List(body);
    if (operation.name == "StopTrainingJob") return Stop(body);
    if (operation.name == "DescribeEndpoint") return DescribeEndpoint(body);
    if (operation.name == "ListEndpoints") return ListEndpoints(body);
    if (operation.name == "DeleteEndpoint") return DeleteEndpoint(body);
    if (operation.name == "DescribeLogStreams") return Streams(body);
    if (operation.name == "GetLogEvents") return Events(body);
    return Fail(Error(ErrorKind::kUnsupported, "No operation " + std::string(operation.name) + "."));
  }

  Result<InvocationReply> Invoke(const Invocation& invocation) override {
    if (down_) return Fail(Error(ErrorKind::kUnavailable, "Connection refused."));
    if (!endpoints_.contains(invocation.endpoint)) return Fail(NoEndpoint());
    invocations.push_back(invocation);
    return InvocationReply{.content_type = invocation.content_type, .variant = "AllTraffic", .body = invocation.body};
  }

 private:
  static Error NoEndpoint() { return InvalidArgument("Could not find endpoint.", "ValidationException"); }
  Result<std::string> DescribeEndpoint(std::string_view body) {
    TRY(auto request, wire::FromJson<sm::DescribeEndpointInput>(body));
    auto endpoint = endpoints_.find(request.EndpointName);
    if (endpoint == endpoints_.end()) return Fail(NoEndpoint());
    return wire::ToJson(endpoint->second);
  }
  Result<std::string> ListEndpoints(std::string_view body) {
    TRY(auto request, wire::FromJson<sm::ListEndpointsInput>(body));
    sm::ListEndpointsOutput reply;
    for (auto name = endpoint_order_.rbegin(); name != endpoint_order_.rend(); ++name) {
      const sm::DescribeEndpointOutput& endpoint = endpoints_[*name];
      if (request.StatusEquals && endpoint.EndpointStatus != *request.StatusEquals) continue;
      if (std::ssize(reply.Endpoints) == request.MaxResults.value_or(10)) break;
      reply.Endpoints.push_back({.EndpointName = *name,
                                 .EndpointArn = endpoint.EndpointArn,
                                 .CreationTime = endpoint.CreationTime,
                                 .LastModifiedTime = endpoint.LastModifiedTime,
                                 .EndpointStatus = endpoint.EndpointStatus});
    }
    return wire::ToJson(reply);
  }
  Result<std::string> DeleteEndpoint(std::string_view body) {
    TRY(auto request, wire::FromJson<sm::DeleteEndpointInput>(body));
    auto endpoint = endpoints_.find(request.EndpointName);
    if (endpoint == endpoints_.end()) return Fail(NoEndpoint());
    endpoint->second.EndpointStatus = "Deleting";
    return std::string("{}");
  }
  Result<std::string> Describe(std::string_view body) {
    TRY(auto request, wire::FromJson<sm::DescribeTrainingJobRequest>(body));
    auto job = jobs_.find(request.TrainingJobName);
    if (job == jobs_.end()) return Fail(InvalidArgument("Requested resource not found.", "ValidationException"));
    return wire::ToJson(job->second);
  }
  Result<std::string> List(std::string_view body) {
    TRY(auto request, wire::FromJson<sm::ListTrainingJobsRequest>(body));
    std::vector<std::string> names(order_.rbegin(), order_.rend());
    std::erase_if(names, [&](const std::string& name) {
      return (request.StatusEquals && jobs_[name].TrainingJobStatus != *request.StatusEquals) ||
             (request.NameContains && name.find(*request.NameContains) == std::string::npos);
    });
    auto from = static_cast<size_t>(ParseInt(request.NextToken.value_or("0")).value());
    auto limit = std::min<size_t>(static_cast<size_t>(request.MaxResults.value_or(10)), page_size);
    sm::ListTrainingJobsResponse reply;
    for (size_t i = from; i < std::min(names.size(), from + limit); ++i) {
      const auto& job = jobs_[names[i]];
      reply.TrainingJobSummaries.push_back({.TrainingJobName = names[i],
                                            .TrainingJobArn = job.TrainingJobArn,
                                            .CreationTime = job.CreationTime,
                                            .TrainingJobStatus = job.TrainingJobStatus});
    }
    if (from + limit < names.size()) reply.NextToken = std::to_string(from + limit);
    return wire::ToJson(reply);
  }
  Result<std::string> Stop(std::string_view body) {
    TRY(auto request, wire::FromJson<sm::StopTrainingJobRequest>(body));
    stopped.push_back(request.TrainingJobName);
    return std::string("{}");
  }
  Result<std::string> Streams(std::string_view body) {
    TRY(auto request, wire::FromJson<cw::DescribeLogStreamsRequest>(body));
    auto group = streams_.find(request.logGroupName.value_or(""));
    if (group == streams_.end()) {
      return Fail(NotFound("The specified log group does not exist.", "ResourceNotFoundException"));
    }
    cw::DescribeLogStreamsResponse reply;
    for (const auto& [name, events] : group->second) {
      if (name.starts_with(request.logStreamNamePrefix.value_or("")))
        reply.logStreams.push_back({.logStreamName = name});
    }
    return wire::ToJson(reply);
  }
  Result<std::string> Events(std::string_view body) {
    TRY(auto request, wire::FromJson<cw::GetLogEventsRequest>(body));
    const auto& group = streams_[request.logGroupName.value_or("")];
    auto stream = group.find(request.logStreamName);
    if (stream == group.end()) {
      return Fail(NotFound("The specified log stream does not exist.", "ResourceNotFoundException"));
    }
    size_t from = 0;
    if (request.nextToken) {
      if (!request.nextToken->starts_with("f/"))
        return Fail(InvalidArgument("Bad token.", "InvalidParameterException"));
      from = static_cast<size_t>(ParseInt(std::string_view(*request.nextToken).substr(2)).value());
    }
    cw::GetLogEventsResponse reply;
    for (; from < stream->second.size() && reply.events.size() < page_size; ++from) {
      const auto& [timestamp, message] = stream->second[from];
      if (timestamp >= request.startTime.value_or(0))
        reply.events.push_back({.timestamp = timestamp, .message = message});
    }
    reply.nextForwardToken = "f/" + std::to_string(from);
    return wire::ToJson(reply);
  }

  std::vector<std::string> order_;
  std::map<std::string, sm::DescribeTrainingJobResponse> jobs_;
  std::vector<std::string> endpoint_order_;
  std::map<std::string, sm::DescribeEndpointOutput> endpoints_;
  using Lines = std::vector<std::pair<int64_t, std::string>>;
  std::map<std::string, std::map<std::string, Lines>> streams_;  // by group
  bool down_ = false;
};

// Runs one scripted step at each Wait while time passes by the amount asked for; with no step left it says that the
// user wants to end.
class ScriptedWaiter final : public Waiter {
 public:
  explicit ScriptedWaiter(std::deque<std::function<void()>> steps) : steps_(std::move(steps)) {}
  bool Wait(int64_t milliseconds) override {
    now_ms_ += milliseconds;
    waits.push_back(milliseconds);
    if (steps_.empty()) return false;
    steps_.front()();
    steps_.pop_front();
    return true;
  }
  int64_t MonotonicMs() const override { return now_ms_; }

  std::vector<int64_t> waits;

 private:
  std::deque<std::function<void()>> steps_;
  int64_t now_ms_ = 0;
};

}  // namespace sagebrush::client::testing
