#pragma once

#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <memory>

#include "serving/core/executor.h"
#include "serving/core/servable.h"

namespace sagebrush::serving {

// The error with its canonical code; long messages are cut, as they travel in a header.
::grpc::Status ToGrpcStatus(const Error& error);

// One call from its arrival to its answer. Owned by gRPC: it is deleted once it has been answered and gRPC is done with
// it; until the answer, the request and the response of the call stay valid. Answer exactly once, from any thread.
class UnaryCall final : public ::grpc::ServerUnaryReactor {
 public:
  explicit UnaryCall(::grpc::CallbackServerContext& context) : context_(context) {}

  // The client's deadline, and whether it has cancelled or gone. May outlive the call.
  RequestContext request_context() const;
  void Answer(const Result<void>& result);

  using Work = std::move_only_function<void(UnaryCall&)>;
  // Has `work` done on the executor, unless nobody waits for its answer any more when its turn comes; kUnavailable at
  // once when the queue is full. Without an executor the calling thread does it.
  static UnaryCall* Start(::grpc::CallbackServerContext& context, Executor* executor, Work work);

 private:
  void OnCancel() override { cancelled_->store(true, std::memory_order_relaxed); }
  void OnDone() override { delete this; }

  ::grpc::CallbackServerContext& context_;
  std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace sagebrush::serving
