#include "serving/grpc/unary_call.h"

#include <grpc/support/time.h>
#include <grpcpp/server_context.h>

#include "base/text.h"
#include "serving/core/status.h"

namespace sagebrush::serving {
namespace {

constexpr size_t kMostMessageBytes = 1024;

// gRPC keeps deadlines by the wall clock; ours are by the steady one.
std::chrono::steady_clock::time_point SteadyDeadline(gpr_timespec deadline) {
  if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0) {
    return std::chrono::steady_clock::time_point::max();
  }
  gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
  // Seconds are cut at a year, so that no sum overflows.
  auto seconds = std::chrono::seconds(std::min<int64_t>(left.tv_sec, int64_t{365} * 24 * 3600));
  return std::chrono::steady_clock::now() + seconds + std::chrono::nanoseconds(left.tv_nsec);
}

}  // namespace

::grpc::Status ToGrpcStatus(const Error& error) {
  std::string message = ReplaceInvalidUtf8(std::string_view(error.message).substr(0, kMostMessageBytes));
  return {static_cast<::grpc::StatusCode>(CodeOf(error)), std::move(message)};
}

RequestContext UnaryCall::request_context() const {
  return {.deadline = SteadyDeadline(context_.raw_deadline()),
          .abandoned = [cancelled = cancelled_] { return cancelled->load(std::memory_order_relaxed); }};
}

void UnaryCall::Answer(const Result<void>& result) {
  Finish(result ? ::grpc::Status::OK : ToGrpcStatus(result.error()));
}

UnaryCall* UnaryCall::Start(::grpc::CallbackServerContext& context, Executor* executor, Work work) {
  auto* call = new UnaryCall(context);
  Executor::Work turn = [call, work = std::move(work)]() mutable {
    if (Result<void> wanted = call->request_context().Check(); !wanted) return call->Answer(wanted);
    work(*call);
  };
  if (executor == nullptr) {
    turn();
  } else if (!executor->TrySubmit(turn)) {
    call->Answer(Fail(Error(ErrorKind::kUnavailable, "The server's queue is full. Try again later.")));
  }
  return call;
}

}  // namespace sagebrush::serving
