#include "serving/grpc/grpc_server.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <tensorflow_serving/model_service.grpc.pb.h>
#include <tensorflow_serving/prediction_service.grpc.pb.h>

#include <latch>
#include <thread>

#include "serving/core/status.h"
#include "serving/testing/fake_models.h"

namespace sagebrush::serving {
namespace {

namespace api = ::tensorflow::serving;
using ::testing::ElementsAre;
using testing::FakeModel;
using testing::FakeModelService;
using ::testing::HasSubstr;

constexpr std::chrono::seconds kPatience{60};

TensorInfo Info(DataType type, Shape shape) { return {"tensor:0", type, std::move(shape)}; }

SignatureMap Signatures() {
  Signature predict{{{"x", Info(DataType::kFloat, {-1})}},
                    {{"double", Info(DataType::kFloat, {-1})}, {"half", Info(DataType::kFloat, {-1})}},
                    std::string(kPredictMethod)};
  Signature two = predict;
  two.inputs.emplace("y", Info(DataType::kFloat, {-1}));
  Signature classify{{{"inputs", Info(DataType::kString, {-1})}},
                     {{"classes", Info(DataType::kString, {-1, 2})}, {"scores", Info(DataType::kFloat, {-1, 2})}},
                     std::string(kClassifyMethod)};
  Signature regress{{{"inputs", Info(DataType::kString, {-1})}},
                    {{"outputs", Info(DataType::kFloat, {-1, 1})}},
                    std::string(kRegressMethod)};
  return {{"serving_default", predict}, {"two", two}, {"classify", classify}, {"regress", regress}};
}

Tensor Floats(Shape shape, const std::vector<float>& values) {
  Tensor tensor = Tensor::Numeric(DataType::kFloat, std::move(shape));
  std::ranges::copy(values, tensor.mutable_values<float>().begin());
  return tensor;
}

// Twice and half the input; for examples, their lengths: as regression, and as scores beside their texts.
Result<Tensors> Compute(const InferenceRequest& request) {
  const Tensor& input = request.inputs[0];
  auto rows = input.shape()[0];
  if (input.type() == DataType::kFloat) {
    if (input.values<float>()[0] < 0) return Fail(ErrorOf(CanonicalCode::kOutOfRange, "negative"));
    std::vector<float> twice, half;
    for (float value : input.values<float>()) twice.push_back(value * 2), half.push_back(value / 2);
    Tensors all{Floats({rows}, twice), Floats({rows}, half)}, chosen;
    for (size_t index : request.outputs) chosen.push_back(all[index]);
    return request.outputs.empty() ? all : chosen;
  }
  std::vector<float> lengths, scores;
  std::vector<std::string> classes;
  for (const std::string& example : input.strings()) {
    auto length = static_cast<float>(example.size());
    lengths.push_back(length);
    scores.insert(scores.end(), {length, -length});
    classes.insert(classes.end(), {example, "other"});
  }
  if (request.signature_name == "regress") return Tensors{Floats({rows, 1}, lengths)};
  return Tensors{Tensor::Strings({rows, 2}, classes), Floats({rows, 2}, scores)};
}

class GrpcServerTest : public ::testing::Test {
 protected:
  void SetUp() override { Serve(Compute); }

  void Serve(FakeModel compute, int threads = 2, size_t queue_limit = 64) {
    server_.reset();
    service_ = std::make_unique<FakeModelService>(threads, queue_limit);
    service_->Add("model", 3, Signatures(), std::move(compute));
    Result<std::unique_ptr<GrpcServer>> server = GrpcServer::Start(*service_, {.address = "127.0.0.1", .port = 0});
    ASSERT_TRUE(server) << server.error().message;
    server_ = *std::move(server);
    Connect("127.0.0.1:" + std::to_string(server_->port()));
  }
  void Connect(const std::string& target) {
    channel_ = ::grpc::CreateChannel(target, ::grpc::InsecureChannelCredentials());
    prediction_ = api::PredictionService::NewStub(channel_);
    models_ = api::ModelService::NewStub(channel_);
  }

  static api::PredictRequest Predict(float value, const std::string& signature = "") {
    api::PredictRequest request;
    request.mutable_model_spec()->set_name("model");
    request.mutable_model_spec()->set_signature_name(signature);
    ::tensorflow::TensorProto& x = (*request.mutable_inputs())["x"];
    x.set_dtype(::tensorflow::DT_FLOAT);
    x.mutable_tensor_shape()->add_dim()->set_size(1);
    x.add_float_val(value);
    return request;
  }
  template <class Method, class Stub, class Request, class Response>
  static ::grpc::Status Call(Stub& stub, Method method, const Request& request, Response& response) {
    ::grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::time_point::max());
    return (stub.*method)(&context, request, &response);
  }
  ::grpc::Status Predict(const api::PredictRequest& request, api::PredictResponse& response) {
    return Call(*prediction_, &api::PredictionService::Stub::Predict, request, response);
  }

  std::unique_ptr<FakeModelService> service_;
  std::unique_ptr<GrpcServer> server_;
  std::shared_ptr<::grpc::Channel> channel_;
  std::unique_ptr<api::PredictionService::Stub> prediction_;
  std::unique_ptr<api::ModelService::Stub> models_;
};

TEST_F(GrpcServerTest, PredictsAndSaysWhatAnswered) {
  api::PredictResponse response;
  ::grpc::Status status = Predict(Predict(5), response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.model_spec().version().value(), 3);
  EXPECT_EQ(response.model_spec().signature_name(), "serving_default");
  ASSERT_EQ(response.outputs_size(), 2);
  EXPECT_THAT(response.outputs().at("double").float_val(), ElementsAre(10));
  EXPECT_THAT(response.outputs().at("half").float_val(), ElementsAre(2.5));
  EXPECT_EQ(response.outputs().at("half").tensor_shape().dim(0).size(), 1);
}

TEST_F(GrpcServerTest, TheOutputFilterChooses) {
  api::PredictRequest request = Predict(5);
  request.add_output_filter("half");
  api::PredictResponse response;
  ASSERT_TRUE(Predict(request, response).ok());
  ASSERT_EQ(response.outputs_size(), 1);
  EXPECT_THAT(response.outputs().at("half").float_val(), ElementsAre(2.5));

  request.add_output_filter("double");  // not in the order of the signature
  ASSERT_TRUE(Predict(request, response).ok());
  EXPECT_THAT(response.outputs().at("double").float_val(), ElementsAre(10));
  EXPECT_THAT(response.outputs().at("half").float_val(), ElementsAre(2.5));

  request.add_output_filter("half");
  EXPECT_EQ(Predict(request, response).error_message(), "duplicate output tensor alias: half");
  request.clear_output_filter();
  request.add_output_filter("third");
  EXPECT_EQ(Predict(request, response).error_message(),
            "output tensor alias not found in signature: third Outputs expected to be in the set {double,half}.");
}

struct Refusal {
  ::grpc::StatusCode code;
  std::string message;
  std::function<void(api::PredictRequest&)> spoil;
};

TEST_F(GrpcServerTest, RefusesInTensorFlowServingsWords) {
  using enum ::grpc::StatusCode;
  std::vector<Refusal> refusals{
      {INVALID_ARGUMENT, "Missing ModelSpec", [](auto& request) { request.clear_model_spec(); }},
      {INVALID_ARGUMENT, "ModelSpec has no name", [](auto& request) { request.mutable_model_spec()->clear_name(); }},
      {NOT_FOUND, "Servable not found for request: Latest(other)",
       [](auto& request) { request.mutable_model_spec()->set_name("other"); }},
      {NOT_FOUND, "Servable not found for request: Specific(model, 4)",
       [](auto& request) { request.mutable_model_spec()->mutable_version()->set_value(4); }},
      {INVALID_ARGUMENT, "Unrecognized servable version label: canary",
       [](auto& request) { request.mutable_model_spec()->set_version_label("canary"); }},
      {FAILED_PRECONDITION, "Serving signature key \"S\" not found.",
       [](auto& request) { request.mutable_model_spec()->set_signature_name("S"); }},
      {INVALID_ARGUMENT,
       "input size does not match signature: 1!=2 len({x}) != len({x,y}). Sent extra: {}. Missing but required: {y}.",
       [](auto& request) { request.mutable_model_spec()->set_signature_name("two"); }},
      {INVALID_ARGUMENT,
       "Signature input alias: x(feed name: tensor:0) not found in request and no default value provided. Inputs "
       "expected to be in the request {z}, or default input alias set: ",
       [](auto& request) {
         (*request.mutable_inputs())["z"] = request.inputs().at("x");
         request.mutable_inputs()->erase("x");
       }},
      {INVALID_ARGUMENT, "tensor parsing error: x: its shape [-1] is not valid",
       [](auto& request) { request.mutable_inputs()->at("x").mutable_tensor_shape()->mutable_dim(0)->set_size(-1); }},
      {OUT_OF_RANGE, "negative", [](auto& request) { request.mutable_inputs()->at("x").set_float_val(0, -1); }},
  };
  for (const Refusal& refusal : refusals) {
    api::PredictRequest request = Predict(1);
    refusal.spoil(request);
    api::PredictResponse response;
    ::grpc::Status status = Predict(request, response);
    EXPECT_EQ(status.error_code(), refusal.code) << refusal.message;
    EXPECT_EQ(status.error_message(), refusal.message);
  }
}

TEST_F(GrpcServerTest, ClassifiesAndRegressesExamplesWithTheirContext) {
  api::ClassificationRequest classify;
  classify.mutable_model_spec()->set_name("model");
  classify.mutable_model_spec()->set_signature_name("classify");
  auto* list = classify.mutable_input()->mutable_example_list_with_context();
  list->set_context("ctx");
  list->add_examples("ab");
  list->add_examples("");
  api::ClassificationResponse classes;
  ::grpc::Status status = Call(*prediction_, &api::PredictionService::Stub::Classify, classify, classes);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(classes.result().classifications_size(), 2);
  const auto& first = classes.result().classifications(0);
  EXPECT_EQ(first.classes(0).label(), "ctxab");  // the serialized context stands before the example
  EXPECT_EQ(first.classes(0).score(), 5);
  EXPECT_EQ(first.classes(1).score(), -5);
  EXPECT_EQ(classes.model_spec().signature_name(), "classify");

  api::RegressionRequest regress;
  *regress.mutable_model_spec() = classify.model_spec();
  regress.mutable_model_spec()->set_signature_name("regress");
  regress.mutable_input()->mutable_example_list()->add_examples("abc");
  api::RegressionResponse values;
  status = Call(*prediction_, &api::PredictionService::Stub::Regress, regress, values);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(values.result().regressions_size(), 1);
  EXPECT_EQ(values.result().regressions(0).value(), 3);

  regress.mutable_model_spec()->set_signature_name("classify");
  status = Call(*prediction_, &api::PredictionService::Stub::Regress, regress, values);
  EXPECT_EQ(status.error_message(),
            "Expected regression signature method_name to be tensorflow/serving/regress. Was: "
            "tensorflow/serving/classify");
  regress.clear_input();
  status = Call(*prediction_, &api::PredictionService::Stub::Regress, regress, values);
  EXPECT_EQ(status.error_message(), "Input is empty.");
}

TEST_F(GrpcServerTest, RunsTheTasksOfAMultiInferenceInOrder) {
  api::MultiInferenceRequest request;
  for (const char* method : {"regress", "classify"}) {
    api::InferenceTask* task = request.add_tasks();
    task->mutable_model_spec()->set_name("model");
    task->mutable_model_spec()->set_signature_name(method);
    task->set_method_name(std::string("tensorflow/serving/") + method);
  }
  request.mutable_input()->mutable_example_list()->add_examples("abcd");
  api::MultiInferenceResponse response;
  auto call = [&] { return Call(*prediction_, &api::PredictionService::Stub::MultiInference, request, response); };
  ::grpc::Status status = call();
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.results_size(), 2);
  EXPECT_EQ(response.results(0).regression_result().regressions(0).value(), 4);
  EXPECT_EQ(response.results(1).classification_result().classifications(0).classes(0).label(), "abcd");

  *request.add_tasks() = request.tasks(0);
  EXPECT_EQ(call().error_message(), "Duplicate evaluation of signature: regress");
  request.mutable_tasks(2)->mutable_model_spec()->set_name("other");
  EXPECT_EQ(call().error_message(), "All ModelSpecs in a MultiInferenceRequest must access the same model name.");
  request.clear_tasks();
  EXPECT_EQ(call().error_message(), "Missing ModelSpec");
}

TEST_F(GrpcServerTest, DescribesTheSignatures) {
  api::GetModelMetadataRequest request;
  request.mutable_model_spec()->set_name("model");
  api::GetModelMetadataResponse response;
  auto call = [&] { return Call(*prediction_, &api::PredictionService::Stub::GetModelMetadata, request, response); };
  EXPECT_EQ(call().error_message(), "GetModelMetadataRequest must specify at least one metadata_field");
  request.add_metadata_field("signature_def");
  ASSERT_TRUE(call().ok());
  api::SignatureDefMap map;
  ASSERT_TRUE(response.metadata().at("signature_def").UnpackTo(&map));
  const auto& inputs = map.signature_def().at("classify").inputs();
  EXPECT_EQ(inputs.at("inputs").dtype(), ::tensorflow::DT_STRING);
  EXPECT_EQ(inputs.at("inputs").tensor_shape().dim(0).size(), -1);
  EXPECT_EQ(map.signature_def().at("classify").method_name(), kClassifyMethod);
  EXPECT_EQ(response.model_spec().version().value(), 3);
  request.add_metadata_field("graph");
  EXPECT_EQ(call().error_message(), "Metadata field graph is not supported");
}

TEST_F(GrpcServerTest, TellsTheStatesOfVersions) {
  api::GetModelStatusRequest request;
  request.mutable_model_spec()->set_name("model");
  api::GetModelStatusResponse response;
  auto call = [&] { return Call(*models_, &api::ModelService::Stub::GetModelStatus, request, response); };
  EXPECT_EQ(call().error_message(), "Could not find any versions of model model");
  service_->statuses = {{4, VersionState::kEnd, NotFound("no file")}, {3, VersionState::kAvailable, {}}};
  ASSERT_TRUE(call().ok());
  ASSERT_EQ(response.model_version_status_size(), 2);
  EXPECT_EQ(response.model_version_status(0).state(), api::ModelVersionStatus::END);
  EXPECT_EQ(response.model_version_status(0).status().error_code(), ::tensorflow::error::NOT_FOUND);
  EXPECT_EQ(response.model_version_status(0).status().error_message(), "no file");
  EXPECT_EQ(response.model_version_status(1).state(), api::ModelVersionStatus::AVAILABLE);
}

TEST_F(GrpcServerTest, ReloadsTheSetOfModels) {
  api::ReloadConfigRequest request;
  api::ReloadConfigResponse response;
  auto call = [&] { return Call(*models_, &api::ModelService::Stub::HandleReloadConfigRequest, request, response); };
  EXPECT_EQ(call().error_code(), ::grpc::INVALID_ARGUMENT);
  auto* config = request.mutable_config()->mutable_model_config_list()->add_config();
  config->set_name("new");
  EXPECT_EQ(call().error_message(), "config 0: model new has no base_path");
  EXPECT_TRUE(service_->configs().empty());
  config->set_base_path("/models/new");
  config->mutable_model_version_policy()->mutable_specific()->add_versions(7);
  (*config->mutable_version_labels())["stable"] = 7;
  ASSERT_TRUE(call().ok());
  std::vector<ModelConfig> configs = service_->configs();
  ASSERT_EQ(configs.size(), 1U);
  EXPECT_EQ(configs[0].base_path, "/models/new");
  EXPECT_THAT(std::get<SpecificVersions>(configs[0].policy).versions, ElementsAre(7));
  EXPECT_EQ(configs[0].labels.at("stable"), 7);
  service_->on_reload = [](const auto&) { return Fail(NotFound("model new has no version")); };
  EXPECT_EQ(call().error_message(), "model new has no version");
}

TEST_F(GrpcServerTest, AFullQueueAnswersAtOnceAndALateTurnIsDropped) {
  std::latch first_runs(1), release(1);
  std::atomic<int> ran = 0;
  Serve(
      [&](const InferenceRequest& request) {
        if (++ran == 1) first_runs.count_down();
        release.wait();
        return Compute(request);
      },
      1, 1);
  std::jthread running([&] {
    api::PredictResponse response;
    EXPECT_TRUE(Predict(Predict(1), response).ok());
  });
  first_runs.wait();

  // The second waits in the queue until after its deadline; it is sent again if it did not get there in time.
  api::PredictResponse response;
  std::chrono::milliseconds patience(100);
  std::chrono::steady_clock::time_point queued_by;
  while (service_->executor().queued() == 0) {
    patience *= 2;
    ::grpc::ClientContext context;
    context.set_deadline(
        gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_millis(patience.count(), GPR_TIMESPAN)));
    EXPECT_EQ(prediction_->Predict(&context, Predict(1), &response).error_code(), ::grpc::DEADLINE_EXCEEDED);
    queued_by = std::chrono::steady_clock::now();
  }
  ::grpc::Status third = Predict(Predict(1), response);
  EXPECT_EQ(third.error_code(), ::grpc::UNAVAILABLE);
  EXPECT_THAT(third.error_message(), HasSubstr("queue is full"));

  // The server's deadline began to run when the call arrived, so it has passed by then.
  while (std::chrono::steady_clock::now() < queued_by + patience * 2) std::this_thread::yield();
  release.count_down();
  running.join();
  server_->Stop(kPatience);  // the dropped one is off the queue by then
  EXPECT_EQ(ran, 1);
}

TEST_F(GrpcServerTest, TheModelSeesThatTheClientHasGone) {
  std::latch runs(1), gone(1);
  Serve([&](const InferenceRequest& request) -> Result<Tensors> {
    EXPECT_TRUE(request.context.Check());
    EXPECT_LT(request.context.deadline, std::chrono::steady_clock::now() + kPatience * 2);
    runs.count_down();
    while (request.context.Check()) std::this_thread::yield();
    EXPECT_EQ(request.context.Check().error().kind, ErrorKind::kCancelled);
    gone.count_down();
    return Fail(request.context.Check().error());
  });
  ::grpc::ClientContext context;
  context.set_deadline(
      gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_seconds(kPatience.count(), GPR_TIMESPAN)));
  std::jthread client([&] {
    api::PredictResponse response;
    EXPECT_EQ(prediction_->Predict(&context, Predict(1), &response).error_code(), ::grpc::CANCELLED);
  });
  runs.wait();
  context.TryCancel();
  gone.wait();
}

TEST_F(GrpcServerTest, StopLetsCallsEnd) {
  std::latch runs(1), release(1);
  Serve([&](const InferenceRequest& request) {
    runs.count_down();
    release.wait();
    return Compute(request);
  });
  ::grpc::Status status;
  api::PredictResponse response;
  std::jthread client([&] { status = Predict(Predict(1), response); });
  runs.wait();
  std::jthread stopping([&] { server_->Stop(kPatience); });
  EXPECT_TRUE(channel_->WaitForStateChange(GRPC_CHANNEL_READY, gpr_inf_future(GPR_CLOCK_REALTIME)));
  release.count_down();
  client.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(GrpcServerTest, StopWithoutPatienceCancelsCallsAndWaitsForThem) {
  std::latch runs(1);
  std::atomic<bool> ended = false;
  Serve([&](const InferenceRequest& request) -> Result<Tensors> {
    runs.count_down();
    while (request.context.Check()) std::this_thread::yield();
    ended = true;
    return Fail(request.context.Check().error());
  });
  std::jthread client([&] {
    api::PredictResponse response;
    EXPECT_FALSE(Predict(Predict(1), response).ok());
  });
  runs.wait();
  server_.reset();
  EXPECT_TRUE(ended);
}

TEST_F(GrpcServerTest, ListensOnAUnixSocketAndKeepsToItsLimits) {
  std::string path = fmt::format("/tmp/sagebrush-grpc-{}.sock", ::getpid());
  Result<std::unique_ptr<GrpcServer>> server =
      GrpcServer::Start(*service_, {.socket_path = path, .max_message_bytes = 1000});
  ASSERT_TRUE(server) << server.error().message;
  EXPECT_EQ((*server)->port(), 0);
  Connect("unix:" + path);
  api::PredictResponse response;
  EXPECT_TRUE(Predict(Predict(1), response).ok());
  api::PredictRequest large = Predict(1);
  large.mutable_inputs()->at("x").set_tensor_content(std::string(2000, 'x'));
  EXPECT_EQ(Predict(large, response).error_code(), ::grpc::RESOURCE_EXHAUSTED);
}

TEST_F(GrpcServerTest, AnAddressInUseIsAnError) {
  Result<std::unique_ptr<GrpcServer>> second =
      GrpcServer::Start(*service_, {.address = "127.0.0.1", .port = server_->port()});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("127.0.0.1:" + std::to_string(server_->port())));
  EXPECT_FALSE(GrpcServer::Start(*service_, {}));
}

}  // namespace
}  // namespace sagebrush::serving
