#include "serving/invocations/hosted_request.h"

#include "base/text.h"

namespace sagebrush::serving {
namespace {

constexpr std::string_view kJson = "application/json", kJsonLines = "application/jsonlines",
                           kJsons = "application/jsons", kCsv = "text/csv", kNpy = "application/x-npy";

struct MediaType {
  std::string name;  // lower case
  std::vector<std::pair<std::string, std::string>> parameters;
};

MediaType ParseMediaType(std::string_view text) {
  std::vector<std::string_view> parts = Split(text, ';');
  MediaType type{.name = ToLower(Trim(parts[0])), .parameters = {}};
  for (size_t index = 1; index < parts.size(); ++index) {
    size_t equals = parts[index].find('=');
    if (equals == std::string_view::npos) continue;
    std::string_view value = Trim(parts[index].substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    type.parameters.emplace_back(ToLower(Trim(parts[index].substr(0, equals))), ToLower(value));
  }
  return type;
}

Fail Unacceptable(const std::string& type) { return Fail(Unsupported("Unsupported Media Type: " + type)); }

Result<void> ReadContentType(const http::Headers& headers, HostedRequest& request) {
  std::string text(Trim(headers.Get("Content-Type")));
  if (text.empty()) return Unacceptable("Unknown");
  MediaType type = ParseMediaType(text);
  if (type.name == kJson || type.name == kJsonLines || type.name == kJsons) {
    request.content = HostedRequest::Content::kJson;
  } else if (type.name == kCsv) {
    request.content = HostedRequest::Content::kCsv;
  } else if (type.name == kNpy) {
    request.content = HostedRequest::Content::kNpy;
  } else {
    return Unacceptable(text);
  }
  for (const auto& [name, value] : type.parameters) {
    if (name == "charset" && value != "utf-8" && value != "utf8" && value != "us-ascii") return Unacceptable(text);
    if (name == "header" && value == "present") request.csv_header = CsvHeader::kPresent;
    if (name == "header" && value == "absent") request.csv_header = CsvHeader::kAbsent;
  }
  return {};
}

// The first type accepted that has a form of its own decides; any other leaves TensorFlow Serving's reply as it is.
void ReadAccept(const http::Headers& headers, HostedRequest& request) {
  for (std::string_view accepted : Split(headers.Get("Accept"), ',')) {
    std::string name = ParseMediaType(accepted).name;
    if (name == kJson || name == kJsonLines) {
      request.reply = HostedRequest::Reply::kOneLine;
      request.reply_type = name;
      return;
    }
    if (name == kNpy) {
      request.reply = HostedRequest::Reply::kNpy;
      request.reply_type = name;
      return;
    }
  }
}

}  // namespace

HostedRequest::Attributes ReadAttributes(const http::Headers& headers) {
  HostedRequest::Attributes attributes;
  for (std::string_view pair : Split(headers.Get(kCustomAttributes), ',')) {
    size_t equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    std::string_view key = Trim(pair.substr(0, equals));
    std::string value(Trim(pair.substr(equals + 1)));
    if (key == "tfs-model-name")
      attributes.model_name = std::move(value);
    else if (key == "tfs-model-version")
      attributes.model_version = std::move(value);
    else if (key == "tfs-method")
      attributes.method = std::move(value);
  }
  return attributes;
}

Result<HostedRequest> ReadHostedRequest(const http::Headers& headers) {
  HostedRequest request;
  TRYV(ReadContentType(headers, request));
  ReadAccept(headers, request);
  request.attributes = ReadAttributes(headers);
  return request;
}

Result<HostedTarget> ReadTarget(const HostedRequest::Attributes& attributes, const std::string& default_model) {
  HostedTarget target;
  target.spec.name = attributes.model_name.value_or(default_model);
  if (target.spec.name.empty()) return Fail(InvalidArgument("Invocation request does not contain model name."));
  if (attributes.model_version) {
    target.spec.version = ParseInt(*attributes.model_version);
    if (!target.spec.version) {
      return Fail(InvalidArgument("The custom attribute tfs-model-version is \"" + *attributes.model_version +
                                  "\": it must be a number"));
    }
  }
  std::string method = attributes.method.value_or("predict");
  if (method == "classify") {
    target.method = RestMethod::kClassify;
  } else if (method == "regress") {
    target.method = RestMethod::kRegress;
  } else if (method != "predict") {
    return Fail(InvalidArgument("The custom attribute tfs-method is \"" + method +
                                "\": it must be predict, classify or regress"));
  }
  return target;
}

}  // namespace sagebrush::serving
