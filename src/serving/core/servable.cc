#include "serving/core/servable.h"

namespace sagebrush::serving {

Result<void> RequestContext::Check() const {
  if (abandoned && abandoned()) return Fail(Error(ErrorKind::kCancelled, "The client has gone."));
  if (std::chrono::steady_clock::now() >= deadline) {
    return Fail(Error(ErrorKind::kDeadlineExceeded, "The request's deadline passed before its turn came."));
  }
  return {};
}

bool ComputedByReceiver(const Servable& servable, size_t request_bytes) {
  constexpr size_t kMost = size_t{256} * 1024;  // decoded in well under a millisecond
  return request_bytes <= kMost && servable.quick();
}

}  // namespace sagebrush::serving
