#include "base/error.h"

#include <cerrno>
#include <cstring>

namespace sagebrush {

std::string_view ToString(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidArgument:
      return "InvalidArgument";
    case ErrorKind::kUnauthenticated:
      return "Unauthenticated";
    case ErrorKind::kPermissionDenied:
      return "PermissionDenied";
    case ErrorKind::kNotFound:
      return "NotFound";
    case ErrorKind::kAlreadyExists:
      return "AlreadyExists";
    case ErrorKind::kFailedPrecondition:
      return "FailedPrecondition";
    case ErrorKind::kResourceExhausted:
      return "ResourceExhausted";
    case ErrorKind::kUnsupported:
      return "Unsupported";
    case ErrorKind::kDeadlineExceeded:
      return "DeadlineExceeded";
    case ErrorKind::kCancelled:
      return "Cancelled";
    case ErrorKind::kUnavailable:
      return "Unavailable";
    case ErrorKind::kDataLoss:
      return "DataLoss";
    case ErrorKind::kInternal:
      return "Internal";
  }
  return "Internal";
}

Error Error::Because(std::string_view context) && {
  message = std::string(context) + ": " + message;
  return std::move(*this);
}

Error InvalidArgument(std::string message, std::string code) {
  return {ErrorKind::kInvalidArgument, std::move(message), std::move(code)};
}
Error NotFound(std::string message, std::string code) {
  return {ErrorKind::kNotFound, std::move(message), std::move(code)};
}
Error Unsupported(std::string message) { return {ErrorKind::kUnsupported, std::move(message)}; }
Error Internal(std::string message) { return {ErrorKind::kInternal, std::move(message)}; }

Error FromErrno(int errno_value, std::string_view what) {
  ErrorKind kind = ErrorKind::kUnavailable;
  if (errno_value == ENOENT) kind = ErrorKind::kNotFound;
  if (errno_value == EACCES || errno_value == EPERM) kind = ErrorKind::kPermissionDenied;
  return {kind, std::string(what) + ": " + std::strerror(errno_value)};
}

}  // namespace sagebrush
