#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace sagebrush::wire {

// How a service words its errors.
enum class ErrorStyle {
  kJson,   // sagemaker, logs: {"__type":…,"message":…}
  kQuery,  // sts, iam: <ErrorResponse><Error>…
  kS3,     // <Error><Code>…
};

struct WireError {
  int status = 500;
  std::string code;
  std::string message;
};

// The one mapping from our errors to AWS codes and HTTP statuses. error.code, where it is set, is kept (in the
// spelling of the family: botocore's Query clients say SignatureDoesNotMatch for InvalidSignatureException); otherwise
// the kind decides. Only kUnavailable, kDataLoss, kInternal and kDeadlineExceeded give a 5xx.
WireError ToWireError(const Error& error, ErrorStyle style);

// The body of an error reply. `resource` is the path, for S3 only.
std::string ErrorBody(const WireError& error, ErrorStyle style, std::string_view request_id,
                      std::string_view resource = {});
std::string_view ErrorContentType(ErrorStyle style);

// `text` as the content of an XML element or attribute; what XML 1.0 cannot hold becomes U+FFFD.
std::string XmlEscape(std::string_view text);

}  // namespace sagebrush::wire
