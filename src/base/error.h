#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace sagebrush {

// What went wrong, from the caller's point of view. wire/ maps a kind to an AWS code and an HTTP status, once.
enum class ErrorKind {
  kInvalidArgument,     // the request is wrong; sending it again will not help
  kUnauthenticated,     // no signature, or one that does not verify
  kPermissionDenied,    // known caller, not allowed
  kNotFound,            // the thing named does not exist
  kAlreadyExists,       // a thing of that name exists
  kFailedPrecondition,  // the thing exists, its state forbids the request
  kResourceExhausted,   // a limit of this installation
  kUnsupported,         // a known feature that Sagebrush refuses, by name
  kDeadlineExceeded,
  kCancelled,
  kUnavailable,  // a surrounding system failed for now (disk full, peer gone)
  kDataLoss,     // stored data is damaged
  kInternal,     // our defect
};

std::string_view ToString(ErrorKind kind);

// An error is a value. `message` is a full sentence for the user that says what to do next where that is known.
// `code`, when set, is the exact AWS error code that clients test for (e.g. "NoSuchKey"); otherwise wire/ derives one
// from `kind`. `retryable` says that the same call may succeed later without any change by the caller.
struct Error {
  ErrorKind kind = ErrorKind::kInternal;
  std::string message;
  std::string code;
  bool retryable = false;

  Error(ErrorKind kind, std::string message, std::string code = {})
      : kind(kind), message(std::move(message)), code(std::move(code)), retryable(kind == ErrorKind::kUnavailable) {}

  // The same error with `context + ": "` before its message.
  Error Because(std::string_view context) &&;
};

Error InvalidArgument(std::string message, std::string code = {});
Error NotFound(std::string message, std::string code = {});
Error Unsupported(std::string message);
Error Internal(std::string message);
// "<what>: <strerror(errno_value)>", kUnavailable, or kNotFound for ENOENT and kPermissionDenied for EACCES/EPERM.
Error FromErrno(int errno_value, std::string_view what);

}  // namespace sagebrush
