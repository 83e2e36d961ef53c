#include "serving/core/servable.h"

namespace sagebrush::serving {

Result<void> RequestContext::Check() const {
  if (abandoned && abandoned()) return Fail(Error(ErrorKind::kCancelled, "The client has gone."));
  if (std::chrono::steady_clock::now() >= deadline) {
    return Fail(Error(ErrorKind::kDeadlineExceeded, "The request's deadline passed before its turn came."));
  }
  return {};
}

}  // namespace sagebrush::serving
