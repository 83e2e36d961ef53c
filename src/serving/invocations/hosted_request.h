#pragma once

#include <optional>
#include <string>

#include "http/message.h"
#include "serving/invocations/csv.h"
#include "serving/rest/rest_inference.h"

namespace sagebrush::serving {

// What the headers of a request to /invocations say.
struct HostedRequest {
  enum class Content { kJson, kCsv, kNpy };
  enum class Reply {
    kServing,  // TensorFlow Serving's JSON as it is
    kOneLine,  // without line ends, labelled as the client accepts it
    kNpy,
  };
  Content content = Content::kJson;
  CsvHeader csv_header = CsvHeader::kUnstated;
  Reply reply = Reply::kServing;
  std::string reply_type = "application/json";

  // The custom attributes tfs-model-name, tfs-model-version and tfs-method, as sent.
  struct Attributes {
    std::optional<std::string> model_name, model_version, method;
  };
  Attributes attributes;
};

inline constexpr std::string_view kCustomAttributes = "X-Amzn-SageMaker-Custom-Attributes";

// "tfs-key=value" pairs between commas; others are the user's own.
HostedRequest::Attributes ReadAttributes(const http::Headers& headers);

// kUnsupported (HTTP 415, in the hosted container's words) for a body of another content type or charset.
Result<HostedRequest> ReadHostedRequest(const http::Headers& headers);

// The attributes as a model and a method; without a name the default model. kInvalidArgument for a version that is no
// number, a method that does not exist, and no name where there is no default model.
struct HostedTarget {
  ModelSpec spec;
  RestMethod method = RestMethod::kPredict;
};
Result<HostedTarget> ReadTarget(const HostedRequest::Attributes& attributes, const std::string& default_model);

}  // namespace sagebrush::serving
