// gRPC and TensorFlow, whose library brings a gRPC, a Protocol Buffers and an Abseil of its own, in one process: the
// library is opened while gRPC serves, and each must go on with its own copy.

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <tensorflow_serving/prediction_service.grpc.pb.h>

#include <thread>

#include "serving/backends/tensorflow/tensorflow_backend.h"
#include "serving/grpc/grpc_server.h"
#include "serving/testing/fake_models.h"

namespace sagebrush::serving {
namespace {

namespace api = ::tensorflow::serving;

constexpr int kCallsOfEach = 500;

// Loads TensorFlow at the first request, as late as can be.
struct LateModel {
  std::filesystem::path library, model;
  std::once_flag once;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Session> session;

  Result<Tensors> Run(const InferenceRequest& request) {
    std::call_once(once, [this] {
      Result<std::unique_ptr<Backend>> made = MakeTensorFlowBackend({.library_directory = library});
      ASSERT_TRUE(made) << made.error().message;
      backend = *std::move(made);
      Result<std::unique_ptr<Session>> loaded = backend->Load(model);
      ASSERT_TRUE(loaded) << loaded.error().message;
      session = *std::move(loaded);
    });
    if (session == nullptr) return Fail(Internal("the model did not load"));
    size_t outputs[] = {0};
    return session->Run(request.signature_name, request.inputs, outputs);
  }
};

TEST(GrpcWithTensorFlow, ServesWhileAndAfterTheLibraryIsOpened) {
  const char* models = std::getenv("SAGEBRUSH_SERVING_MODELS");
  Result<std::filesystem::path> library = FindTensorFlowLibrary();
  if (models == nullptr || !library)
    GTEST_SKIP() << "set SAGEBRUSH_SERVING_MODELS and SAGEBRUSH_TENSORFLOW, as ./test does";

  auto late = std::make_shared<LateModel>();
  late->library = *library;
  late->model = std::filesystem::path(models) / "half_plus_two" / "1";
  Signature predict{{{"x", {"x:0", DataType::kFloat, Shape{-1}}}},
                    {{"y", {"y:0", DataType::kFloat, Shape{-1}}}},
                    std::string(kPredictMethod)};
  testing::FakeModelService service;
  service.Add("half_plus_two", 1, {{"serving_default", predict}},
              [late](const InferenceRequest& request) { return late->Run(request); });
  Result<std::unique_ptr<GrpcServer>> server = GrpcServer::Start(service, {.address = "127.0.0.1", .port = 0});
  ASSERT_TRUE(server) << server.error().message;
  auto channel =
      ::grpc::CreateChannel("127.0.0.1:" + std::to_string((*server)->port()), ::grpc::InsecureChannelCredentials());

  std::vector<std::jthread> clients;
  std::atomic<int> right = 0;
  for (int client = 0; client < 2; ++client) {
    clients.emplace_back([&, client] {
      auto stub = api::PredictionService::NewStub(channel);
      for (int call = 0; call < kCallsOfEach; ++call) {
        api::PredictRequest request;
        request.mutable_model_spec()->set_name("half_plus_two");
        ::tensorflow::TensorProto& x = (*request.mutable_inputs())["x"];
        x.set_dtype(::tensorflow::DT_FLOAT);
        x.mutable_tensor_shape()->add_dim()->set_size(2);
        x.add_float_val(static_cast<float>(client));
        x.add_float_val(static_cast<float>(call));
        ::grpc::ClientContext context;
        api::PredictResponse response;
        ::grpc::Status status = stub->Predict(&context, request, &response);
        ASSERT_TRUE(status.ok()) << status.error_message();
        const auto& y = response.outputs().at("y").float_val();
        right +=
            y.size() == 2 && y[0] == static_cast<float>(client) / 2 + 2 && y[1] == static_cast<float>(call) / 2 + 2;
      }
    });
  }
  clients.clear();
  EXPECT_EQ(right, 2 * kCallsOfEach);
}

}  // namespace
}  // namespace sagebrush::serving
