#pragma once

#include <tensorflow_serving/prediction_service.grpc.pb.h>

#include "serving/core/model_service.h"
#include "serving/grpc/unary_call.h"

namespace sagebrush::serving {

// The available version that a ModelSpec names. kInvalidArgument when there is none or it has no name, else as
// ModelService::Find.
Result<std::shared_ptr<const Servable>> FindServable(const ModelService& service, bool has_spec,
                                                     const ::tensorflow::serving::ModelSpec& spec);
sagebrush::serving::ModelSpec ModelSpecFromProto(const ::tensorflow::serving::ModelSpec& spec);

// A Predict request as a run of the servable: everything but the context. Errors in TensorFlow Serving's words
// (servables/tensorflow/predict_util.cc): kFailedPrecondition for an unknown signature, kInvalidArgument for inputs
// that are not the signature's, a tensor that cannot be read and an unknown or repeated alias in output_filter.
Result<InferenceRequest> InferenceFromPredict(const Servable& servable,
                                              const ::tensorflow::serving::PredictRequest& request);

// TensorFlow Serving's PredictionService over a ModelService. Decoding, computing and encoding run on the service's
// executor; GetModelMetadata, which computes nothing, answers at once.
class PredictionServiceImpl final : public ::tensorflow::serving::PredictionService::CallbackService {
 public:
  explicit PredictionServiceImpl(ModelService& service) : service_(service) {}

  UnaryCall* Predict(::grpc::CallbackServerContext* context, const ::tensorflow::serving::PredictRequest* request,
                     ::tensorflow::serving::PredictResponse* response) override;
  UnaryCall* Classify(::grpc::CallbackServerContext* context,
                      const ::tensorflow::serving::ClassificationRequest* request,
                      ::tensorflow::serving::ClassificationResponse* response) override;
  UnaryCall* Regress(::grpc::CallbackServerContext* context, const ::tensorflow::serving::RegressionRequest* request,
                     ::tensorflow::serving::RegressionResponse* response) override;
  // One run for each task, in order. All tasks are of one model; unlike in TensorFlow Serving their signatures need not
  // share a tensor of the graph.
  UnaryCall* MultiInference(::grpc::CallbackServerContext* context,
                            const ::tensorflow::serving::MultiInferenceRequest* request,
                            ::tensorflow::serving::MultiInferenceResponse* response) override;
  UnaryCall* GetModelMetadata(::grpc::CallbackServerContext* context,
                              const ::tensorflow::serving::GetModelMetadataRequest* request,
                              ::tensorflow::serving::GetModelMetadataResponse* response) override;

 private:
  Result<void> Metadata(const ::tensorflow::serving::GetModelMetadataRequest& request,
                        ::tensorflow::serving::GetModelMetadataResponse* response) const;

  ModelService& service_;
};

}  // namespace sagebrush::serving
