#pragma once

#include <string_view>

#include "base/error.h"

namespace sagebrush::serving {

// gRPC's canonical codes, with their numbers. The one place where errors of serving/ get their codes and HTTP statuses;
// an Error whose `code` is a canonical name ("OUT_OF_RANGE") means that code, otherwise its kind decides.
enum class CanonicalCode {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

CanonicalCode CodeOf(const Error& error);
// "INVALID_ARGUMENT".
std::string_view CodeName(CanonicalCode code);
// TensorFlow Serving's mapping: 400, 401, 403, 404, 409, 429, 499, 500, 501, 503, 504.
int HttpStatusOf(const Error& error);
// An error of that code, as a model or TensorFlow reports it. CHECKs that the code is no kOk.
Error ErrorOf(CanonicalCode code, std::string message);

}  // namespace sagebrush::serving
