// The hosting contract over real HTTP, before models made in C++ and real Python handlers.
#include "serving/invocations/hosting_api.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <boost/json.hpp>
#include <latch>

#include "http/client.h"
#include "http/server.h"
#include "io/file.h"
#include "serving/invocations/npy.h"
#include "serving/testing/fake_models.h"

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class HostingApiTest : public ::testing::Test {
 protected:
  HostingApiTest() : runtime_(2, 2), handlers_({}, models_) {
    char name[] = "/tmp/sagebrush-hosting-XXXXXX";
    root_ = ::mkdtemp(name);
    options_.default_model = "half";
  }
  ~HostingApiTest() override {
    if (server_) server_->StopAndWait(std::chrono::seconds(10));
    runtime_.Stop();
    fs::remove_all(root_);
  }

  void Start() {
    api_ = std::make_unique<HostingApi>(runtime_, models_, handlers_, options_);
    http::ServerOptions options;
    options.tcp.push_back({});
    server_ = std::make_unique<http::Server>(runtime_, std::move(options),
                                             [this](http::Request& request) { return api_->Handle(request); });
    Result<void> started = server_->Start();
    ASSERT_TRUE(started) << started.error().message;
    thread_ = std::jthread([this] { runtime_.Run(); });
  }

  http::ClientResponse Call(const std::string& method, const std::string& target, std::string body = "",
                            std::vector<std::pair<std::string, std::string>> fields = {}) {
    if (!server_) Start();
    http::ClientRequest request{.method = method, .target = target, .headers = {}, .body = std::move(body)};
    for (auto& [name, value] : fields) request.headers.Add(name, value);
    http::Client client = http::Client::ForTcp("127.0.0.1", server_->tcp_ports()[0]);
    Result<http::ClientResponse> response = client.Call(request);
    EXPECT_TRUE(response) << response.error().message;
    return response.value_or(http::ClientResponse{});
  }
  http::ClientResponse Invoke(const std::string& body, const std::string& type,
                              std::vector<std::pair<std::string, std::string>> fields = {}) {
    fields.emplace_back("Content-Type", type);
    return Call("POST", "/invocations", body, fields);
  }
  // The value of "predictions" on one line.
  std::string Predict(const std::string& body, const std::string& type) {
    http::ClientResponse response = Invoke(body, type, {{"Accept", "application/json"}});
    EXPECT_EQ(response.status, 200) << response.body;
    boost::system::error_code ec;
    boost::json::value value = boost::json::parse(response.body, ec);
    return ec ? response.body : boost::json::serialize(value.at("predictions"));
  }

  void Put(const std::string& path, const std::string& content = "x") {
    ASSERT_TRUE(io::MakeDirectories((root_ / path).parent_path()));
    ASSERT_TRUE(io::WriteFile(root_ / path, content));
  }

  fs::path root_;
  io::Runtime runtime_;
  testing::HalfPlusTwoModels models_;
  Handlers handlers_;
  HostingApiOptions options_;
  std::unique_ptr<HostingApi> api_;
  std::unique_ptr<http::Server> server_;
  std::jthread thread_;
};

TEST_F(HostingApiTest, PingsByTheModelsState) {
  EXPECT_EQ(Call("GET", "/ping").status, 200);
  models_.SetState(VersionState::kLoading);
  EXPECT_EQ(Call("GET", "/ping").status, 502);
}

TEST_F(HostingApiTest, AnswersEveryFormOfBody) {
  const std::string three = "[2.5E0,3E0,4.5E0]", rows = "[[2.5E0,3E0,4.5E0],[2.5E0,3E0,4.5E0]]";
  EXPECT_EQ(Predict(R"({"instances": [1.0, 2.0, 5.0]})", "application/json"), three);
  EXPECT_EQ(Predict("[[1, 2, 5], [1, 2, 5]]", "application/json; charset=utf-8"), rows);
  EXPECT_EQ(Predict("[1, 2, 5]", "application/json"), "[[2.5E0,3E0,4.5E0]]");
  EXPECT_EQ(Predict(R"({"x": [1, 2, 5]})", "application/json"), "[[2.5E0,3E0,4.5E0]]");
  EXPECT_EQ(Predict("[1, 2, 5]\n[1, 2, 5]\n", "application/jsonlines"), rows);
  EXPECT_EQ(Predict("{\"x\": [1, 2, 5]}{\"x\": [1, 2, 5]}", "application/jsons"), rows);
  EXPECT_EQ(Predict("1.0\n2.0\n5.0\n", "text/csv"), three);
  EXPECT_EQ(Predict("a,b,c\n1.0,2.0,5.0\n1.0,2.0,5.0\n", "Text/CSV;header=present"), rows);
}

TEST_F(HostingApiTest, TakesAndGivesNumPyArrays) {
  Tensor x = Tensor::Numeric(DataType::kDouble, {1, 3});
  std::ranges::copy(std::vector<double>{1, 2, 5}, x.mutable_values<double>().begin());
  std::string file = EncodeNpy(x).value();
  EXPECT_EQ(Predict(file, "application/x-npy"), "[[2.5E0,3E0,4.5E0]]");
  for (const auto& [body, type] : {std::pair(file, "application/x-npy"), std::pair(std::string("1,2,5\n"), "text/csv"),
                                   std::pair(std::string("[1,2,5]"), "application/json")}) {
    http::ClientResponse response = Invoke(body, type, {{"Accept", "application/x-npy"}});
    ASSERT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(response.headers.Get("Content-Type"), "application/x-npy");
    Result<Tensor> y = ParseNpy(response.body);
    ASSERT_TRUE(y) << y.error().message;
    EXPECT_EQ(y->shape(), Shape({1, 3}));
    EXPECT_THAT(y->values<float>(), ElementsAre(2.5F, 3.0F, 4.5F));
  }
  EXPECT_EQ(Invoke("no array", "application/x-npy", {{"Accept", "application/x-npy"}}).status, 400);
  SignatureMap two = testing::SignaturesOf({{"x", testing::InputOf(DataType::kFloat, std::nullopt)}});
  two.begin()->second.outputs["z"] = two.begin()->second.outputs["y"];
  models_.Add("two", 1, std::move(two),
              [](const InferenceRequest& request) { return Tensors{request.inputs[0], request.inputs[0]}; });
  http::ClientResponse response =
      Invoke("[1]", "application/json",
             {{"Accept", "application/x-npy"}, {std::string(kCustomAttributes), "tfs-model-name=two"}});
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(response.body, HasSubstr("The model has 2 outputs and application/x-npy holds one array"));
}

TEST_F(HostingApiTest, TheTimeOfAnInvocationIsLimitedInEveryForm) {
  auto release = std::make_shared<std::latch>(1);
  models_.Add("slow", 1, testing::SignaturesOf({{"x", testing::InputOf(DataType::kFloat, std::nullopt)}}),
              [release](const InferenceRequest& request) {
                release->wait();
                return Tensors{request.inputs[0]};
              });
  options_.request_timeout = std::chrono::milliseconds(50);
  for (const char* accepted : {"application/json", "application/x-npy"}) {
    EXPECT_EQ(Invoke("[1]", "application/json",
                     {{"Accept", accepted}, {std::string(kCustomAttributes), "tfs-model-name=slow"}})
                  .status,
              504);
  }
  release->count_down();
}

TEST_F(HostingApiTest, LabelsTheReplyAsAccepted) {
  http::ClientResponse plain = Invoke("[1]", "application/json");
  EXPECT_EQ(plain.headers.Get("Content-Type"), "application/json");
  EXPECT_THAT(plain.body, HasSubstr("\n"));
  http::ClientResponse lines = Invoke("[1]", "application/json", {{"Accept", "application/jsonlines, */*"}});
  EXPECT_EQ(lines.headers.Get("Content-Type"), "application/jsonlines");
  EXPECT_EQ(lines.body.find('\n'), std::string::npos);
}

TEST_F(HostingApiTest, RefusesOtherTypesAndPaths) {
  EXPECT_THAT(Invoke("<x/>", "text/xml").body, HasSubstr("Unsupported Media Type: text/xml"));
  EXPECT_EQ(Invoke("<x/>", "text/xml").status, 415);
  EXPECT_EQ(Invoke("[1]", "application/json; charset=utf-16").status, 415);
  http::ClientResponse none = Call("POST", "/invocations", "[1]");
  EXPECT_EQ(none.status, 415);
  EXPECT_EQ(none.body, R"({"error": "Unsupported Media Type: Unknown"})");
  http::ClientResponse other = Call("GET", "/v1/models/half");
  EXPECT_EQ(other.status, 404);
  EXPECT_EQ(other.body, R"({"error": "Not Found"})");
  EXPECT_EQ(Call("GET", "/models").status, 404);  // not in multi-model mode
  EXPECT_EQ(Call("GET", "/invocations").status, 405);
}

TEST_F(HostingApiTest, FollowsTheCustomAttributes) {
  auto with = [&](const std::string& attributes) {
    return Invoke("[1]", "application/json", {{std::string(kCustomAttributes), attributes}});
  };
  EXPECT_EQ(with("tfs-model-name=half,tfs-model-version=1, mine=2,tfs-method=predict").status, 200);
  EXPECT_EQ(with("tfs-model-name=absent").status, 404);
  EXPECT_EQ(with("tfs-model-version=7").status, 404);
  EXPECT_THAT(with("tfs-model-version=new").body, HasSubstr("it must be a number"));
  EXPECT_THAT(with("tfs-method=guess").body, HasSubstr("predict, classify or regress"));
  EXPECT_EQ(with("tfs-method=regress").status, 400);  // the model has no such signature
  http::ClientResponse csv = Invoke("1", "text/csv", {{std::string(kCustomAttributes), "tfs-method=regress"}});
  EXPECT_EQ(csv.status, 400);
}

TEST_F(HostingApiTest, SaysWhatIsWrongWithABody) {
  EXPECT_EQ(Invoke("[1, 2", "application/json").status, 400);
  EXPECT_THAT(Invoke("1\nx\n", "text/csv").body, HasSubstr("row 2, column 1"));
  EXPECT_EQ(Invoke("", "application/json").status, 400);
}

TEST_F(HostingApiTest, BoundsTheBody) {
  options_.body_limit = 10;
  EXPECT_EQ(Invoke("[1, 2]", "application/json").status, 200);
  EXPECT_EQ(Invoke("[1, 2, 3, 4, 5, 6]", "application/json").status, 413);
}

TEST_F(HostingApiTest, RecommendsParametersForBatchTransform) {
  options_.concurrent_requests = 4;
  http::ClientResponse response = Call("GET", "/execution-parameters");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, R"({"MaxConcurrentTransforms":4,"BatchStrategy":"MULTI_RECORD","MaxPayloadInMB":6})");
}

TEST_F(HostingApiTest, HandlersMakeTheReply) {
  Put("code/inference.py", R"(
import json
def input_handler(data, context):
    assert context.request_content_type == "text/numbers", "only text/numbers here"
    return json.dumps({"instances": [float(x) for x in data.read().split()]})
def output_handler(response, context):
    return response.text.replace("\n", ""), context.accept_header
)");
  std::optional<HandlerCode> code = FindHandlerCode(root_);
  ASSERT_TRUE(code);
  Result<void> added = handlers_.Add("", *code);
  ASSERT_TRUE(added) << added.error().message;
  http::ClientResponse response = Invoke("1 2 5", "text/numbers", {{"Accept", "text/mine"}});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.Get("Content-Type"), "text/mine");
  EXPECT_THAT(response.body, HasSubstr("2.5, 3.0, 4.5"));
  http::ClientResponse refused = Invoke("1 2 5", "application/json");
  EXPECT_EQ(refused.status, 500);
  EXPECT_EQ(refused.body, R"({"error":"only text/numbers here"})");
  EXPECT_EQ(Call("GET", "/ping").status, 200);
}

TEST_F(HostingApiTest, LoadsAndUnloadsModels) {
  options_.multi_model = true;
  options_.default_model.clear();
  ASSERT_TRUE(models_.Reload({}));
  Put("store/third/model/0001/saved_model.pb");
  auto body = [&](const std::string& name, const std::string& path) {
    return R"({"model_name": ")" + name + R"(", "url": ")" + (root_ / path).string() + "\"}";
  };
  EXPECT_EQ(Call("GET", "/ping").status, 200);
  EXPECT_EQ(Call("GET", "/models").body, "{}");
  EXPECT_EQ(Call("POST", "/models/third/invoke", "[1]").body, R"({"error": "Model third is not loaded yet."})");
  EXPECT_EQ(Call("POST", "/models", body("third", "store/third/model")).status, 200);
  EXPECT_EQ(Call("POST", "/models", body("third", "store/third/model")).status, 409);
  EXPECT_EQ(Call("POST", "/models", body("fourth", "store/fourth")).status, 404);
  EXPECT_EQ(Call("POST", "/models", "{}").status, 400);
  EXPECT_THAT(Call("GET", "/models/third").body, HasSubstr("\"state\":\"AVAILABLE\""));
  EXPECT_THAT(Call("GET", "/models").body, HasSubstr("{\"third\":{\"model_version_status\":["));
  http::ClientResponse answer =
      Call("POST", "/models/third/invoke", "[[1, 2, 5]]", {{"Content-Type", "application/json"}});
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, HasSubstr("2.5, 3.0, 4.5"));
  EXPECT_EQ(Invoke("[1]", "application/json").body, R"({"error": "Invocation request does not contain model name."})");
  EXPECT_EQ(Call("DELETE", "/models/third").status, 200);
  EXPECT_EQ(Call("DELETE", "/models/third").status, 404);
  EXPECT_EQ(Call("GET", "/models/third").status, 404);
}

TEST_F(HostingApiTest, AModelThatCannotBeLoadedLeavesTheOthers) {
  options_.multi_model = true;
  Put("broken/1/saved_model.pb");
  Put("broken/broken");
  Put("handled/1/saved_model.pb");
  Put("handled/code/inference.py", "def input_handler(data, context): pass\n");
  auto load = [&](const std::string& name) {
    return Call("POST", "/models", R"({"model_name": ")" + name + R"(", "url": ")" + (root_ / name).string() + "\"}");
  };
  http::ClientResponse broken = load("broken");
  EXPECT_EQ(broken.status, 500);
  EXPECT_THAT(broken.body, HasSubstr("the model broken is broken"));
  EXPECT_THAT(load("handled").body, HasSubstr("no output_handler"));
  EXPECT_THAT(Call("GET", "/models").body, ::testing::StartsWith("{\"half\":"));
  EXPECT_EQ(Call("GET", "/models/broken").status, 404);
  EXPECT_EQ(Call("GET", "/models/handled").status, 404);
}

TEST_F(HostingApiTest, AModelThatDoesNotFitIsAnsweredWith507) {
  options_.multi_model = true;
  Put("large/1/saved_model.pb");
  models_.on_reload = [](const std::vector<ModelConfig>& configs) -> Result<void> {
    if (configs.size() == 1) return {};
    return Fail(Error(ErrorKind::kResourceExhausted, "It needs 9 MiB"));
  };
  http::ClientResponse large =
      Call("POST", "/models", R"({"model_name": "large", "url": ")" + (root_ / "large").string() + "\"}");
  EXPECT_EQ(large.status, 507);
  EXPECT_EQ(large.body, R"({"error": "It needs 9 MiB"})");
  EXPECT_EQ(Call("GET", "/models/large").status, 404);
}

TEST_F(HostingApiTest, ALoadThatTakesTooLongIsAnsweredWith408AndUndone) {
  options_.multi_model = true;
  options_.load_timeout = std::chrono::milliseconds(50);
  Put("slow/1/saved_model.pb");
  auto release = std::make_shared<std::latch>(1);
  models_.on_reload = [release, load = models_.on_reload](const std::vector<ModelConfig>& configs) {
    release->wait();
    return load(configs);
  };
  std::string body = R"({"model_name": "slow", "url": ")" + (root_ / "slow").string() + "\"}";
  http::ClientResponse slow = Call("POST", "/models", body);
  EXPECT_EQ(slow.status, 408);
  EXPECT_THAT(slow.body, HasSubstr("Timed out: model slow was not loaded"));
  release->count_down();
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (models_.configs().size() > 1 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_EQ(models_.configs().size(), 1U);
  EXPECT_EQ(Call("GET", "/models/slow").status, 404);
}

}  // namespace
}  // namespace sagebrush::serving
