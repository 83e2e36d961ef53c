#include "api/json_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gen/sagemaker.h"

namespace sagebrush::api {
namespace {

using gen::sagemaker::DescribeTrainingJobRequest;
using gen::sagemaker::StopTrainingJobRequest;
using gen::sagemaker::StopTrainingJobResponse;

void RegisterStop(JsonService& service) {
  service.Register<StopTrainingJobRequest, StopTrainingJobResponse>(
      "StopTrainingJob",
      [](const StopTrainingJobRequest& request, const CallContext&) -> Result<StopTrainingJobResponse> {
        if (request.TrainingJobName == "defect") return Fail(Internal("Something broke."));
        if (request.TrainingJobName == "full") return Fail(Error(ErrorKind::kUnavailable, "The disk is full."));
        if (request.TrainingJobName != "known") {
          return Fail(NotFound("Requested resource not found.", "ValidationException"));
        }
        return StopTrainingJobResponse{};
      });
}

http::Response Call(std::string_view operation, std::string_view body) {
  JsonService service("1.1");
  RegisterStop(service);
  return service.Call(operation, body, CallContext{.caller = {}, .request_id = "r-1", .invocation_id = ""});
}

std::string HeaderOf(const http::Response& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return "";
}

TEST(JsonService, AnswersWithTheContentTypeAndRequestId) {
  http::Response response = Call("StopTrainingJob", R"({"TrainingJobName":"known"})");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(std::get<std::string>(response.body), "{}");
  EXPECT_EQ(HeaderOf(response, "Content-Type"), "application/x-amz-json-1.1");
  EXPECT_EQ(HeaderOf(response, "x-amzn-RequestId"), "r-1");
}

TEST(JsonService, ErrorsAreComplete) {
  http::Response missing = Call("StopTrainingJob", R"({"TrainingJobName":"other"})");
  EXPECT_EQ(missing.status, 400);
  EXPECT_EQ(std::get<std::string>(missing.body),
            R"({"__type":"ValidationException","message":"Requested resource not found."})");
  EXPECT_EQ(HeaderOf(missing, "x-amzn-RequestId"), "r-1");
  EXPECT_EQ(Call("StopTrainingJob", R"({"TrainingJobName":"defect"})").status, 500);
  EXPECT_EQ(Call("StopTrainingJob", R"({"TrainingJobName":"full"})").status, 503);
}

TEST(JsonService, InvalidRequestsNeverReachTheHandler) {
  http::Response invalid = Call("StopTrainingJob", R"({"TrainingJobName":"-"})");
  EXPECT_EQ(invalid.status, 400);
  EXPECT_THAT(std::get<std::string>(invalid.body), testing::HasSubstr("1 validation error detected"));
  EXPECT_EQ(Call("StopTrainingJob", "{").status, 400);
}

TEST(JsonService, AServiceMayHaveItsOwnValidationCode) {
  JsonService service("1.1");
  RegisterStop(service);
  service.SetValidationCode("InvalidParameterException");
  CallContext context{.caller = {}, .request_id = "r-1", .invocation_id = ""};
  http::Response response = service.Call("StopTrainingJob", R"({"TrainingJobName":"-"})", context);
  EXPECT_THAT(std::get<std::string>(response.body), testing::HasSubstr(R"("__type":"InvalidParameterException")"));
  response = service.Call("StopTrainingJob", "{", context);
  EXPECT_THAT(std::get<std::string>(response.body), testing::HasSubstr(R"("__type":"SerializationException")"));
}

TEST(JsonService, UnknownOperationsAreNamed) {
  http::Response response = Call("Frobnicate\"", "{}");
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(std::get<std::string>(response.body), testing::HasSubstr(R"("__type":"UnknownOperationException")"));
  EXPECT_THAT(std::get<std::string>(response.body), testing::HasSubstr(R"(Frobnicate\")"));
}

}  // namespace
}  // namespace sagebrush::api
