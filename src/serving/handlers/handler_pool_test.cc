// Real Python worker processes under handlers that behave and misbehave.
#include "serving/handlers/handler_pool.h"

#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <future>

#include "io/file.h"
#include "serving/handlers/handlers.h"
#include "serving/testing/fake_models.h"

namespace sagebrush::serving {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class HandlerPoolTest : public ::testing::Test {
 protected:
  HandlerPoolTest() {
    char name[] = "/tmp/sagebrush-handlers-XXXXXX";
    root_ = ::mkdtemp(name);
    EXPECT_TRUE(io::MakeDirectories(root_ / "code"));
    options_.command.script = root_ / "code" / "inference.py";
    options_.command.directory = root_ / "code";
    options_.command.python_path = {root_ / "code"};
    options_.first_backoff = std::chrono::milliseconds(10);
  }
  ~HandlerPoolTest() override {
    pool_.reset();
    fs::remove_all(root_);
  }

  Result<void> StartWith(const std::string& script) {
    EXPECT_TRUE(io::WriteFile(options_.command.script, script));
    Result<std::unique_ptr<HandlerPool>> pool = HandlerPool::Start(options_, models_);
    if (!pool) return Fail(pool.error());
    pool_ = *std::move(pool);
    return {};
  }
  std::string StartError(const std::string& script) {
    Result<void> started = StartWith(script);
    EXPECT_FALSE(started);
    return started ? "" : started.error().message;
  }
  void MustStart(const std::string& script) {
    Result<void> started = StartWith(script);
    ASSERT_TRUE(started) << started.error().message;
  }

  std::future<HandlerReply> Submit(HandlerRequest request) {
    std::promise<HandlerReply> promise;
    std::future<HandlerReply> reply = promise.get_future();
    request.rest_uri = "http://localhost:8501/v1/models/half:predict";
    request.grpc_port = "9000";
    request.target = std::pair(ModelSpec{.name = "half", .version = {}, .label = {}}, RestMethod::kPredict);
    pool_->Submit(std::move(request),
                  [promise = std::move(promise)](HandlerReply done) mutable { promise.set_value(std::move(done)); });
    return reply;
  }
  HandlerReply Call(const std::string& body) {
    HandlerRequest request;
    request.body = body;
    return Submit(std::move(request)).get();
  }

  fs::path root_;
  testing::HalfPlusTwoModels models_;
  HandlerPoolOptions options_;
  std::unique_ptr<HandlerPool> pool_;
};

TEST_F(HandlerPoolTest, GivesTheHandlerItsContext) {
  MustStart(R"(
import json
def handler(data, context):
    fields = {name: getattr(context, name) for name in context._fields if name != "channel"}
    return json.dumps({"fields": fields, "names": context._fields, "body": data.read().decode()}), "text/x-context"
)");
  HandlerRequest request;
  request.body = "the body";
  request.custom_attributes = "tfs-model-name=half,mine=1,latin=\xE9";
  request.model_name = "half";
  request.content_length = 8;
  HandlerReply reply = Submit(std::move(request)).get();
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.content_type, "text/x-context");
  boost::json::value said = boost::json::parse(reply.body);
  EXPECT_EQ(said.at("body").as_string(), "the body");
  const boost::json::value& fields = said.at("fields");
  EXPECT_EQ(fields.at("model_name").as_string(), "half");
  EXPECT_TRUE(fields.at("model_version").is_null());
  EXPECT_TRUE(fields.at("method").is_null());
  EXPECT_EQ(fields.at("rest_uri").as_string(), "http://localhost:8501/v1/models/half:predict");
  EXPECT_EQ(fields.at("grpc_port").as_string(), "9000");
  EXPECT_THAT(std::string(fields.at("custom_attributes").as_string()), HasSubstr("mine=1"));
  EXPECT_EQ(fields.at("request_content_type").as_string(), "application/json");
  EXPECT_EQ(fields.at("accept_header").as_string(), "application/json");
  EXPECT_EQ(fields.at("content_length").as_int64(), 8);
  EXPECT_EQ(said.at("names").as_array().size(), 10U);
}

TEST_F(HandlerPoolTest, CarriesBodiesOfAnySize) {
  MustStart("def handler(data, context):\n    return data.read()[::-1]\n");
  for (size_t size : {size_t{0}, size_t{1}, kSharedFromBytes - 1, kSharedFromBytes, size_t{5'000'000}}) {
    std::string body(size, 'a');
    if (!body.empty()) body.back() = '\0';
    HandlerReply reply = Call(body);
    EXPECT_EQ(reply.status, 200);
    std::ranges::reverse(body);
    EXPECT_TRUE(reply.body == body) << size;
    EXPECT_EQ(reply.content_type, "application/json");  // the body alone: as accepted
  }
}

TEST_F(HandlerPoolTest, RunsTheModelBetweenThePair) {
  MustStart(R"(
import json
def input_handler(data, context):
    return json.dumps({"instances": [float(x) for x in data.read().decode().split(";")]})
def output_handler(response, context):
    if response.status_code != 200:
        return "status %d: %s" % (response.status_code, response.text), "text/plain"
    assert response.headers["content-type"] == "application/json"
    return ";".join(str(y) for y in response.json()["predictions"]), "text/plain"
)");
  HandlerReply reply = Call("1;2;5");
  EXPECT_EQ(reply.body, "2.5;3.0;4.5");
  EXPECT_EQ(reply.content_type, "text/plain");
  HandlerRequest request;
  request.body = "1";
  std::promise<HandlerReply> promise;
  request.target = std::pair(ModelSpec{.name = "absent", .version = {}, .label = {}}, RestMethod::kPredict);
  pool_->Submit(std::move(request), [&](HandlerReply done) { promise.set_value(std::move(done)); });
  EXPECT_THAT(promise.get_future().get().body, HasSubstr("status 404: "));
}

TEST_F(HandlerPoolTest, AnExceptionFailsItsRequestAndKeepsTheWorker) {
  MustStart(R"(
import os
def handler(data, context):
    if data.read() == b"bad":
        raise ValueError("no \"good\" \ud800 input")
    return str(os.getpid())
)");
  std::string process = Call("good").body;
  HandlerReply reply = Call("bad");
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(reply.body, R"({"error":"no \"good\" ? input"})");
  EXPECT_EQ(reply.content_type, "application/json");
  EXPECT_EQ(Call("good").body, process);
}

TEST_F(HandlerPoolTest, RefusesWhatIsNoBody) {
  MustStart("def handler(data, context):\n    return {'a': 1} if data.read() else ('a', 'b', 'c')\n");
  EXPECT_THAT(Call("x").body, HasSubstr("handler returned a body of type dict"));
  EXPECT_THAT(Call("").body, HasSubstr("handler returned 3 values"));
}

TEST_F(HandlerPoolTest, ReplacesAWorkerThatDies) {
  MustStart(R"(
import os, signal
def handler(data, context):
    if data.read() == b"die":
        os.kill(os.getpid(), signal.SIGSEGV)
    return str(os.getpid())
)");
  std::string process = Call("").body;
  HandlerReply reply = Call("die");
  EXPECT_EQ(reply.status, 500);
  EXPECT_THAT(reply.body, HasSubstr("signal 11"));
  HandlerReply after = Call("");
  EXPECT_EQ(after.status, 200);
  EXPECT_NE(after.body, process);
}

TEST_F(HandlerPoolTest, ReplacesAWorkerThatDiedIdle) {
  MustStart("import os\ndef handler(data, context):\n    return str(os.getpid())\n");
  std::string process = Call("").body;
  io::UniqueFd gone(static_cast<int>(::syscall(SYS_pidfd_open, std::stoi(process), 0)));
  ASSERT_TRUE(gone);
  ::kill(std::stoi(process), SIGKILL);
  pollfd waiting{gone.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&waiting, 1, 20'000), 1);
  HandlerReply after = Call("");
  EXPECT_EQ(after.status, 200) << after.body;
  EXPECT_NE(after.body, process);
}

TEST_F(HandlerPoolTest, EndsAHandlerThatHangs) {
  options_.call_timeout = std::chrono::milliseconds(300);
  MustStart(R"(
import signal
def handler(data, context):
    if data.read() == b"hang":
        while True:
            signal.pause()
    return "fine"
)");
  HandlerReply reply = Call("hang");
  EXPECT_EQ(reply.status, 504);
  EXPECT_THAT(reply.body, HasSubstr("took longer than 300 ms"));
  EXPECT_EQ(Call("").body, "fine");
}

TEST_F(HandlerPoolTest, WorkersServeSideBySide) {
  options_.workers = 2;
  std::string a = (root_ / "a").string(), b = (root_ / "b").string();
  ASSERT_EQ(::mkfifo(a.c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo(b.c_str(), 0600), 0);
  HandlerRequest first, second;
  MustStart(R"(
import os
def handler(data, context):
    name, a, b = data.read().decode().split()
    if name == "first":
        open(a, "wb").close()
        open(b, "rb").read()
    else:
        open(a, "rb").read()
        open(b, "wb").close()
    return str(os.getpid())
)");
  first.body = "first " + a + " " + b;
  second.body = "second " + a + " " + b;
  auto one = Submit(std::move(first)), two = Submit(std::move(second));
  EXPECT_NE(one.get().body, two.get().body);
}

TEST_F(HandlerPoolTest, BacksOffWhenEveryStartFails) {
  MustStart(R"(
import os
if os.path.exists("broken"):
    os._exit(7)
def handler(data, context):
    open("broken", "w").close()
    os._exit(3)
)");
  HandlerReply first = Call("");
  EXPECT_EQ(first.status, 500);
  EXPECT_THAT(first.body, HasSubstr("exit code 3"));
  HandlerReply second = Call("");
  EXPECT_EQ(second.status, 503);
  EXPECT_THAT(second.body, HasSubstr("exit code 7"));
  fs::remove(root_ / "code" / "broken");
}

TEST_F(HandlerPoolTest, NamesWhatTheScriptLacks) {
  EXPECT_THAT(StartError("def input_handler(data, context): pass\n"),
              HasSubstr("defines input_handler and no output_handler"));
  EXPECT_THAT(StartError("def output_handler(response, context): pass\n"),
              HasSubstr("defines output_handler and no input_handler"));
  EXPECT_THAT(StartError("x = 1\n"), HasSubstr("defines neither handler"));
  EXPECT_THAT(StartError("import module_that_is_not_there\n"), HasSubstr("No module named 'module_that_is_not_there'"));
  EXPECT_THAT(StartError("import sys\nsys.exit(9)\n"), HasSubstr("SystemExit: 9"));
  options_.command.python = "python-of-no-kind";
  EXPECT_THAT(StartError("x = 1\n"), HasSubstr("python-of-no-kind"));
}

TEST_F(HandlerPoolTest, PrefersHandlerToThePair) {
  MustStart(R"(
def handler(data, context): return "alone"
def input_handler(data, context): return "pair"
)");
  EXPECT_EQ(Call("").body, "alone");
}

TEST_F(HandlerPoolTest, StopsWhileAHandlerRuns) {
  options_.call_timeout = {};
  MustStart(R"(
import signal
def handler(data, context):
    open("running", "w").close()
    signal.pause()
)");
  auto running = Submit({}), queued = Submit({});
  pool_.reset();
  EXPECT_EQ(running.get().status, 503);
  EXPECT_EQ(queued.get().status, 503);
}

TEST_F(HandlerPoolTest, DropsQueuedRequestsPastTheirDeadline) {
  options_.call_timeout = std::chrono::milliseconds(5000);
  MustStart(R"(
import signal
def handler(data, context): signal.pause()
)");
  auto running = Submit({});
  HandlerRequest late;
  late.context.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
  EXPECT_EQ(Submit(std::move(late)).get().status, 504);
  EXPECT_EQ(running.wait_for(std::chrono::seconds(0)), std::future_status::timeout);  // not by its end
}

TEST_F(HandlerPoolTest, ModelsMayHaveHandlersOfTheirOwn) {
  Handlers handlers({.work_directory = root_ / "work"}, models_);
  EXPECT_EQ(handlers.Find("half"), nullptr);
  EXPECT_TRUE(handlers.healthy());
  HandlerCode code{.directory = root_ / "code", .script = options_.command.script, .requirements = {}, .library = {}};
  ASSERT_TRUE(io::WriteFile(code.script, "import helper\ndef handler(data, context): return helper.TEXT\n"));
  ASSERT_TRUE(io::MakeDirectories(root_ / "code" / "lib"));
  ASSERT_TRUE(io::WriteFile(root_ / "code" / "lib" / "helper.py", "TEXT = 'from lib'\n"));
  EXPECT_THAT(handlers.Add("half", code).error().message, HasSubstr("No module named 'helper'"));
  code.library = root_ / "code" / "lib";
  Result<void> added = handlers.Add("half", code);
  ASSERT_TRUE(added) << added.error().message;
  EXPECT_EQ(handlers.Find("other"), nullptr);
  std::promise<HandlerReply> promise;
  handlers.Find("half")->Submit({}, [&](HandlerReply done) { promise.set_value(std::move(done)); });
  EXPECT_EQ(promise.get_future().get().body, "from lib");
  handlers.Remove("half");
  EXPECT_EQ(handlers.Find("half"), nullptr);
}

TEST_F(HandlerPoolTest, RequirementsThatCannotBeInstalledStopTheStart) {
  Handlers handlers({.work_directory = root_ / "work"}, models_);
  HandlerCode code{.directory = root_ / "code",
                   .script = options_.command.script,
                   .requirements = root_ / "code" / "requirements.txt",
                   .library = {}};
  ASSERT_TRUE(io::WriteFile(code.script, "def handler(data, context): return 'x'\n"));
  ASSERT_TRUE(io::WriteFile(*code.requirements, "./no-such-package-here\n"));
  Result<void> added = handlers.Add("", code);
  ASSERT_FALSE(added);
  EXPECT_THAT(added.error().message, HasSubstr("cannot install"));
  EXPECT_THAT(added.error().message, HasSubstr("no-such-package-here"));
}

}  // namespace
}  // namespace sagebrush::serving
