#pragma once

#include <tensorflow_serving/model_service.grpc.pb.h>

#include "serving/core/model_service.h"
#include "serving/grpc/unary_call.h"

namespace sagebrush::serving {

// TensorFlow Serving's ModelService (states of versions, the set of models) over ours. States are answered at once,
// however full the executor's queue is; reloads, which wait for models to load, run one after the other on a thread of
// their own. The destructor waits for them.
class ManagementServiceImpl final : public ::tensorflow::serving::ModelService::CallbackService {
 public:
  explicit ManagementServiceImpl(sagebrush::serving::ModelService& service);

  UnaryCall* GetModelStatus(::grpc::CallbackServerContext* context,
                            const ::tensorflow::serving::GetModelStatusRequest* request,
                            ::tensorflow::serving::GetModelStatusResponse* response) override;
  UnaryCall* HandleReloadConfigRequest(::grpc::CallbackServerContext* context,
                                       const ::tensorflow::serving::ReloadConfigRequest* request,
                                       ::tensorflow::serving::ReloadConfigResponse* response) override;

 private:
  sagebrush::serving::ModelService& service_;
  Executor reloads_;
};

}  // namespace sagebrush::serving
