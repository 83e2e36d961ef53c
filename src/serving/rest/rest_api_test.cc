#include "serving/rest/rest_api.h"

#include <gmock/gmock.h>
#include <zlib.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <future>
#include <latch>

#include "http/fake_body.h"
#include "serving/core/status.h"
#include "serving/testing/fake_models.h"

namespace sagebrush::serving {
namespace {

using http::testing::FakeBody;
using testing::FakeModelService;

std::string Gzip(std::string_view plain) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(deflateBound(&stream, plain.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

struct Reply {
  int status = 0;
  std::string body;
  http::Headers headers;
};

SignatureMap HalfPlusTwo() {
  SignatureMap signatures;
  Signature& predict = signatures["serving_default"];
  predict.inputs["x"] = {.name = "x:0", .type = DataType::kFloat, .shape = Shape{-1}};
  predict.outputs["y"] = {.name = "y:0", .type = DataType::kFloat};
  predict.method_name = kPredictMethod;
  Signature& regress = signatures["regress"];
  regress.inputs["inputs"] = {.name = "e:0", .type = DataType::kString, .shape = Shape{-1}};
  regress.outputs["outputs"] = {.name = "y:0", .type = DataType::kFloat};
  regress.method_name = kRegressMethod;
  Signature& classify = signatures["classify"];
  classify.inputs["inputs"] = regress.inputs["inputs"];
  classify.outputs["scores"] = {.name = "y:0", .type = DataType::kFloat};
  classify.method_name = kClassifyMethod;
  return signatures;
}

// x / 2 + 2 for numbers; for examples, the bytes of each.
Result<Tensors> Compute(const InferenceRequest& request) {
  const Tensor& input = request.inputs[0];
  Shape shape = input.shape();
  if (request.signature_name == "classify") shape.push_back(1);
  Tensor output = Tensor::Numeric(DataType::kFloat, std::move(shape));
  std::span<float> values = output.mutable_values<float>();
  for (size_t index = 0; index < values.size(); ++index) {
    values[index] = input.type() == DataType::kString ? static_cast<float>(input.strings()[index].size())
                                                      : input.values<float>()[index] / 2 + 2;
  }
  return Tensors{output};
}

class RestApiTest : public ::testing::Test {
 protected:
  RestApiTest() { service_.Add("half", 123, HalfPlusTwo(), Compute); }

  Reply Call(std::string method, std::string path, std::string body = "", http::Headers headers = {}) {
    return CallOn(service_, std::move(method), std::move(path), std::move(body), std::move(headers));
  }

  Reply CallOn(ModelService& service, std::string method, std::string path, std::string body,
               http::Headers headers = {}) {
    RestApi api(service, options_);
    FakeBody reader(std::move(body), {.states_length = false});
    http::Request request{.method = std::move(method), .path = std::move(path), .headers = std::move(headers)};
    request.body = &reader;
    context_.restart();
    auto response = boost::asio::co_spawn(context_, api.Handle(request), boost::asio::use_future);
    while (response.wait_for(std::chrono::seconds(0)) != std::future_status::ready) context_.run_one();
    http::Response got = response.get();
    return {got.status, std::get<std::string>(got.body), got.headers};
  }

  static std::string Text(std::string_view message) { return fmt::format("{{\n    \"error\": \"{}\"\n}}", message); }

  boost::asio::io_context context_;  // outlives the executor, whose late replies go there
  FakeModelService service_{1, 16};
  RestApiOptions options_;
};

constexpr auto kPredict = "/v1/models/half:predict";

TEST_F(RestApiTest, PredictsByRowsAndColumns) {
  Reply reply = Call("POST", kPredict, R"({"instances": [1.0, 2.0, 5.0]})");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "{\n    \"predictions\": [2.5, 3.0, 4.5\n    ]\n}");
  EXPECT_EQ(reply.headers.Get("content-type"), "application/json");
  EXPECT_EQ(Call("POST", "/V1/Models/half/Versions/123:predict", R"({"inputs": 1})").body,
            "{\n    \"outputs\": 2.5\n}");
}

TEST_F(RestApiTest, ClassifiesAndRegresses) {
  EXPECT_EQ(
      Call("POST", "/v1/models/half:regress", R"({"signature_name": "regress", "examples": [{}, {"a": 1}]})").body,
      "{\n    \"results\": [2.0, 14.0]\n}");
  EXPECT_EQ(Call("POST", "/v1/models/half:classify", R"({"signature_name": "classify", "examples": [{}]})").body,
            "{\n    \"results\": [[[\"\", 2.0]]\n    ]\n}");
  EXPECT_EQ(Call("POST", "/v1/models/half:classify", R"({"examples": [{}]})").body,
            Text("Expected classification signature method_name to be tensorflow/serving/classify. Was: "
                 "tensorflow/serving/predict"));
  EXPECT_EQ(Call("POST", "/v1/models/half:regress", R"({"signature_name": "no", "examples": [{}]})").body,
            Text("No signature was found with the name: no"));
}

TEST_F(RestApiTest, RoutesThatDoNotExist) {
  auto expect = [this](std::string method, std::string path, int status, std::string_view message) {
    Reply reply = Call(method, path, "{}");
    EXPECT_EQ(reply.status, status) << path;
    EXPECT_EQ(reply.body, Text(message)) << path;
  };
  expect("GET", "/v1/models", 400, "Missing model name in request.");
  expect("POST", "/v1/models", 400, "Malformed request: POST /v1/models");
  expect("GET", "/v1/models/half:predict", 400, "Malformed request: GET /v1/models/half:predict");
  expect("POST", "/v1/models/half:explain", 400, "Malformed request: POST /v1/models/half:explain");
  expect("POST", "/v1/models/half/versions/x:predict", 400,
         "Malformed request: POST /v1/models/half/versions/x:predict");
  expect("GET", "/v1/modelsx/half", 400, "Malformed request: GET /v1/modelsx/half");
  expect("GET", "/v1/models/half/more", 400, "Malformed request: GET /v1/models/half/more");
  expect("DELETE", "/v1/models/half", 400, "Malformed request: DELETE /v1/models/half");
  expect("POST", "/v1/models/half/versions/99999999999999999999:predict", 400,
         "Failed to convert version: 99999999999999999999 to numeric.");
  expect("POST", "/v1/models/half/labels/new:predict", 400, "Unrecognized servable version label: new");
  expect("POST", "/v1/models/none:predict", 404, "Servable not found for request: Latest(none)");
  expect("POST", "/v1/models/half/versions/7:predict", 404, "Servable not found for request: Specific(half, 7)");
  expect("GET", "/v1/models/none", 404, "Could not find any versions of model none");
  Reply outside = Call("GET", "/v2/models");
  EXPECT_EQ(outside.status, 404);
  EXPECT_EQ(outside.headers.Get("Content-Type"), "text/plain");
}

TEST_F(RestApiTest, NamesAndLabelsAreDecoded) {
  service_.Add("a b/c", 1, HalfPlusTwo(), Compute);
  service_.labels["é:1"] = 1;
  EXPECT_EQ(Call("POST", "/v1/models/a%20b%2Fc/labels/%C3%A9%3A1:predict", R"({"inputs": 2})").body,
            "{\n    \"outputs\": 3.0\n}");
}

TEST_F(RestApiTest, ErrorsOfBodiesAndModels) {
  Reply reply = Call("POST", kPredict, "");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.body, Text("JSON Parse error: The document is empty"));
  service_.Add("bad", 1, HalfPlusTwo(), [](const InferenceRequest&) -> Result<Tensors> {
    return Fail(ErrorOf(CanonicalCode::kResourceExhausted, "OOM \"x\""));
  });
  reply = Call("POST", "/v1/models/bad:predict", R"({"inputs": 1})");
  EXPECT_EQ(reply.status, 429);
  EXPECT_EQ(reply.body, Text("OOM \\\"x\\\""));
}

TEST_F(RestApiTest, GzipBodiesAreUnpackedWithinTheLimit) {
  http::Headers gzip;
  gzip.Add("Content-Encoding", "gzip");
  std::string packed = Gzip(R"({"instances": [1.0]})");
  EXPECT_EQ(Call("POST", kPredict, packed, gzip).body, "{\n    \"predictions\": [2.5\n    ]\n}");
  EXPECT_EQ(Call("POST", kPredict, Gzip(R"({"instances":)") + Gzip(" [1.0]}"), gzip).status, 200);
  for (std::string bad : {std::string("no gzip"), packed.substr(0, packed.size() - 3), std::string()}) {
    Reply reply = Call("POST", kPredict, bad, gzip);
    EXPECT_EQ(reply.status, 400);
    EXPECT_THAT(reply.body, ::testing::HasSubstr("The request body is not valid gzip"));
  }
  options_.body_limit = 100'000;
  EXPECT_EQ(Call("POST", kPredict, Gzip(std::string(100'000, ' ') + "1"), gzip).status, 413);
  EXPECT_EQ(Call("POST", kPredict, Gzip(std::string(10'000'000, ' ')), gzip).status, 413);
  Reply reply = Call("POST", kPredict, std::string(100'001, ' '));
  EXPECT_EQ(reply.status, 413);
  EXPECT_EQ(reply.body, Text("The request body is larger than the 100000 bytes allowed here."));
  EXPECT_EQ(Call("POST", kPredict, std::string(100'000, ' ')).status, 400);
  gzip.Set("Content-Encoding", "br");
  EXPECT_EQ(Call("POST", kPredict, "{}", gzip).status, 400);
}

TEST_F(RestApiTest, AFullQueueAsksToComeAgain) {
  FakeModelService full(1, 0);
  full.Add("half", 1, HalfPlusTwo(), Compute);
  Reply reply = CallOn(full, "POST", kPredict, R"({"inputs": 1})");
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.headers.Get("Retry-After"), "1");
}

TEST_F(RestApiTest, TheDeadlineIsKeptWhileTheModelComputes) {
  std::latch release(1);
  service_.Add("slow", 1, HalfPlusTwo(), [&](const InferenceRequest& request) {
    release.wait();
    return Compute(request);
  });
  options_.timeout = std::chrono::milliseconds(50);
  Reply reply = Call("POST", "/v1/models/slow:predict", R"({"inputs": 1})");
  EXPECT_EQ(reply.status, 504);
  // What still waits in the queue at its deadline is never run.
  EXPECT_EQ(Call("POST", kPredict, R"({"inputs": 1})").status, 504);
  release.count_down();
  options_.timeout = std::chrono::seconds(30);
  EXPECT_EQ(Call("POST", kPredict, R"({"inputs": 1})").status, 200);
}

TEST_F(RestApiTest, Status) {
  service_.statuses = {{.version = 124, .state = VersionState::kEnd, .error = NotFound("gone")},
                       {.version = 123, .state = VersionState::kAvailable}};
  EXPECT_EQ(Call("GET", "/v1/models/half").body, R"({
 "model_version_status": [
  {
   "version": "124",
   "state": "END",
   "status": {
    "error_code": "NOT_FOUND",
    "error_message": "gone"
   }
  },
  {
   "version": "123",
   "state": "AVAILABLE",
   "status": {
    "error_code": "OK",
    "error_message": ""
   }
  }
 ]
}
)");
}

TEST_F(RestApiTest, Metadata) {
  SignatureMap one;
  one["serving_default"] = HalfPlusTwo()["serving_default"];
  service_.Add("one", 5, one, Compute);
  EXPECT_EQ(Call("GET", "/v1/models/one/metadata").body, R"({
 "model_spec": {
  "name": "one",
  "signature_name": "",
  "version": "5"
 },
 "metadata": {
  "signature_def": {
   "signature_def": {
    "serving_default": {
     "inputs": {
      "x": {
       "dtype": "DT_FLOAT",
       "tensor_shape": {
        "dim": [
         {
          "size": "-1",
          "name": ""
         }
        ],
        "unknown_rank": false
       },
       "name": "x:0"
      }
     },
     "outputs": {
      "y": {
       "dtype": "DT_FLOAT",
       "tensor_shape": {
        "dim": [],
        "unknown_rank": true
       },
       "name": "y:0"
      }
     },
     "method_name": "tensorflow/serving/predict"
    }
   }
  }
 }
}
)");
  EXPECT_EQ(Call("GET", "/v1/models/one/versions/6/metadata").status, 404);
}

TEST_F(RestApiTest, PreflightsNameTheirOrigin) {
  EXPECT_EQ(Call("OPTIONS", kPredict).status, 400);
  http::Headers origin;
  origin.Add("Origin", "https://example.org");
  Reply reply = Call("OPTIONS", kPredict, "", origin);
  EXPECT_EQ(reply.status, 200);
  EXPECT_FALSE(reply.headers.Has("Access-Control-Allow-Origin"));
  options_.cors = true;
  EXPECT_EQ(Call("OPTIONS", kPredict, "", origin).headers.Get("Access-Control-Allow-Origin"), "*");
}

// A model that goes on after it has answered, as one does whose thread leads a batcher.
class Leading final : public Servable, public std::enable_shared_from_this<Leading> {
 public:
  explicit Leading(std::shared_ptr<std::promise<bool>> held) : held_(std::move(held)) {}
  const std::string& model_name() const override { return name_; }
  int64_t version() const override { return 1; }
  const SignatureMap& signatures() const override { return signatures_; }
  void Run(InferenceRequest request, InferenceCallback done) const override {
    std::weak_ptr<const Leading> self = weak_from_this();
    std::shared_ptr<std::promise<bool>> held = held_;
    done(Compute(request));
    done = nullptr;
    held->set_value(!self.expired());
  }

 private:
  std::string name_ = "leading";
  SignatureMap signatures_ = HalfPlusTwo();
  std::shared_ptr<std::promise<bool>> held_;
};

class OneOwner final : public FakeModelService {
 public:
  Result<std::shared_ptr<const Servable>> Find(const ModelSpec&) const override {
    return std::make_shared<const Leading>(held);
  }
  std::shared_ptr<std::promise<bool>> held = std::make_shared<std::promise<bool>>();
};

TEST_F(RestApiTest, AModelThatIsUnloadedAfterItsReplyIsHeldUntilItHasReturned) {
  auto service = std::make_unique<OneOwner>();
  std::future<bool> held = service->held->get_future();
  EXPECT_EQ(CallOn(*service, "POST", kPredict, R"({"instances": [1.0]})").status, 200);
  EXPECT_TRUE(held.get());
}

}  // namespace
}  // namespace sagebrush::serving
