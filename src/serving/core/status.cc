#include "serving/core/status.h"

#include <array>

#include "base/check.h"

namespace sagebrush::serving {
namespace {

struct CodeFacts {
  std::string_view name;
  ErrorKind kind;
  int http;
};

// In the order of the codes' numbers.
constexpr std::array<CodeFacts, 17> kCodes{{
    {"OK", ErrorKind::kInternal, 200},
    {"CANCELLED", ErrorKind::kCancelled, 499},
    {"UNKNOWN", ErrorKind::kInternal, 500},
    {"INVALID_ARGUMENT", ErrorKind::kInvalidArgument, 400},
    {"DEADLINE_EXCEEDED", ErrorKind::kDeadlineExceeded, 504},
    {"NOT_FOUND", ErrorKind::kNotFound, 404},
    {"ALREADY_EXISTS", ErrorKind::kAlreadyExists, 409},
    {"PERMISSION_DENIED", ErrorKind::kPermissionDenied, 403},
    {"RESOURCE_EXHAUSTED", ErrorKind::kResourceExhausted, 429},
    {"FAILED_PRECONDITION", ErrorKind::kFailedPrecondition, 400},
    {"ABORTED", ErrorKind::kUnavailable, 409},
    {"OUT_OF_RANGE", ErrorKind::kInvalidArgument, 400},
    {"UNIMPLEMENTED", ErrorKind::kUnsupported, 501},
    {"INTERNAL", ErrorKind::kInternal, 500},
    {"UNAVAILABLE", ErrorKind::kUnavailable, 503},
    {"DATA_LOSS", ErrorKind::kDataLoss, 500},
    {"UNAUTHENTICATED", ErrorKind::kUnauthenticated, 401},
}};

CanonicalCode CodeOfKind(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidArgument:
      return CanonicalCode::kInvalidArgument;
    case ErrorKind::kUnauthenticated:
      return CanonicalCode::kUnauthenticated;
    case ErrorKind::kPermissionDenied:
      return CanonicalCode::kPermissionDenied;
    case ErrorKind::kNotFound:
      return CanonicalCode::kNotFound;
    case ErrorKind::kAlreadyExists:
      return CanonicalCode::kAlreadyExists;
    case ErrorKind::kFailedPrecondition:
      return CanonicalCode::kFailedPrecondition;
    case ErrorKind::kResourceExhausted:
      return CanonicalCode::kResourceExhausted;
    case ErrorKind::kUnsupported:
      return CanonicalCode::kUnimplemented;
    case ErrorKind::kDeadlineExceeded:
      return CanonicalCode::kDeadlineExceeded;
    case ErrorKind::kCancelled:
      return CanonicalCode::kCancelled;
    case ErrorKind::kUnavailable:
      return CanonicalCode::kUnavailable;
    case ErrorKind::kDataLoss:
      return CanonicalCode::kDataLoss;
    case ErrorKind::kInternal:
      return CanonicalCode::kInternal;
  }
  return CanonicalCode::kInternal;
}

}  // namespace

CanonicalCode CodeOf(const Error& error) {
  for (size_t number = 1; number < kCodes.size() && !error.code.empty(); ++number) {
    if (kCodes[number].name == error.code) return static_cast<CanonicalCode>(number);
  }
  return CodeOfKind(error.kind);
}

std::string_view CodeName(CanonicalCode code) { return kCodes[static_cast<size_t>(code)].name; }

int HttpStatusOf(const Error& error) { return kCodes[static_cast<size_t>(CodeOf(error))].http; }

Error ErrorOf(CanonicalCode code, std::string message) {
  CHECK(code != CanonicalCode::kOk);
  const CodeFacts& facts = kCodes[static_cast<size_t>(code)];
  return {facts.kind, std::move(message), std::string(facts.name)};
}

}  // namespace sagebrush::serving
