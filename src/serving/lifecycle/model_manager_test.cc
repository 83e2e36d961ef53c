#include "serving/lifecycle/model_manager.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include "serving/lifecycle/version_directory.h"
#include "serving/testing/fake_backend.h"

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;
using testing::FakeBackend;
using testing::Floats;
using ::testing::HasSubstr;

class ModelManagerTest : public ::testing::Test {
 protected:
  ModelManagerTest() {
    char name[] = "/tmp/sagebrush-models-XXXXXX";
    base_ = ::mkdtemp(name);
  }
  ~ModelManagerTest() override {
    manager_.reset();
    EXPECT_EQ(backend_.alive, 0) << "an unloaded version keeps its session";
    std::filesystem::remove_all(base_);
  }

  void Start(ModelManagerOptions options = {}) {
    options.poll_interval = std::chrono::milliseconds(5);
    options.retry_interval = std::chrono::milliseconds(5);
    manager_ = std::make_unique<ModelManager>(backend_, metrics_, executor_, options);
  }
  // Appears whole, as a rename makes it.
  void Publish(const std::string& version, const std::string& content) {
    std::filesystem::path scratch = base_ / "making";
    std::filesystem::create_directories(scratch);
    ASSERT_TRUE(io::WriteFile(scratch / "saved_model.pb", content));
    std::filesystem::remove_all(base_ / version);
    std::filesystem::rename(scratch, base_ / version);
  }
  ModelConfig Config(VersionPolicy policy = LatestVersions{}) { return {"m", base_, std::move(policy), {}}; }

  std::optional<float> Ask(const ModelSpec& spec) {
    auto servable = manager_->Find(spec);
    if (!servable) return std::nullopt;
    std::optional<float> answer;
    (*servable)->Run({.inputs = {Floats({1})}}, [&](Result<Tensors> outputs) {
      if (outputs) answer = (*outputs)[0].values<float>()[0];
    });
    return answer;
  }
  VersionState StateOf(int64_t version) {
    auto status = manager_->Status({.name = "m", .version = version});
    return status ? (*status)[0].state : VersionState::kUnknown;
  }
  template <class Condition>
  static bool Eventually(Condition condition) {
    auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::yield();
    }
    return true;
  }

  std::filesystem::path base_;
  FakeBackend backend_;
  ServingMetrics metrics_;
  Executor executor_{2, 100};
  std::unique_ptr<ModelManager> manager_;
};

TEST_F(ModelManagerTest, ServesTheLatestVersionAndMovesOnToANewerOne) {
  Publish("1", "10");
  Start();
  ASSERT_TRUE(manager_->Reload({Config()}));
  EXPECT_EQ(Ask({"m"}), 11);
  Publish("00002", "20");
  EXPECT_TRUE(Eventually([&] { return Ask({"m"}) == 21; }));
  EXPECT_TRUE(Eventually([&] { return StateOf(1) == VersionState::kEnd; }));
  EXPECT_EQ(Ask({"m", 1}), std::nullopt);
}

TEST_F(ModelManagerTest, AVersionIsNeverAbsentDuringASwap) {
  Publish("1", "1");
  Start();
  ASSERT_TRUE(manager_->Reload({Config()}));
  for (int version = 2; version <= 6; ++version) {
    Publish(std::to_string(version), std::to_string(version));
    EXPECT_TRUE(Eventually([&] {
      std::optional<float> answer = Ask({"m"});
      EXPECT_TRUE(answer.has_value());
      return answer == static_cast<float>(version + 1);
    }));
  }
}

TEST_F(ModelManagerTest, AFailedLoadLeavesTheRunningVersionAndSaysWhy) {
  Publish("1", "1");
  Start({.load_attempts = 2});
  ASSERT_TRUE(manager_->Reload({Config()}));
  Publish("2", "rubbish");
  ASSERT_TRUE(Eventually([&] { return StateOf(2) == VersionState::kEnd; }));
  EXPECT_THAT((*manager_->Status({"m", 2}))[0].error->message, HasSubstr("damaged model"));
  EXPECT_EQ(Ask({"m"}), 2);
  Publish("2", "7");  // mended in place
  EXPECT_TRUE(Eventually([&] { return Ask({"m"}) == 8; }));
}

TEST_F(ModelManagerTest, ARequestKeepsItsVersionUntilItLetsGo) {
  Publish("1", "1");
  Start();
  ASSERT_TRUE(manager_->Reload({Config()}));
  auto held = *manager_->Find({"m"});
  ASSERT_TRUE(manager_->Reload({}));
  ASSERT_TRUE(Eventually([&] { return StateOf(1) == VersionState::kUnloading; }));
  EXPECT_EQ(backend_.alive, 1);
  EXPECT_FALSE(manager_->Find({"m"}));
  float answer = 0;
  held->Run({.inputs = {Floats({1})}}, [&](Result<Tensors> outputs) { answer = (*outputs)[0].values<float>()[0]; });
  EXPECT_EQ(answer, 2);
  held.reset();
  EXPECT_TRUE(Eventually([&] { return StateOf(1) == VersionState::kEnd; }));
  EXPECT_EQ(backend_.alive, 0);
}

TEST_F(ModelManagerTest, PoliciesAndLabels) {
  for (const char* version : {"1", "2", "3"}) Publish(version, version);
  Start();
  ModelConfig config = Config(SpecificVersions{{1, 3}});
  config.labels = {{"stable", 1}, {"canary", 3}};
  ASSERT_TRUE(manager_->Reload({config}));
  EXPECT_EQ(Ask({"m", std::nullopt, "stable"}), 2);
  EXPECT_EQ(Ask({"m", std::nullopt, "canary"}), 4);
  EXPECT_EQ(Ask({"m", 2}), std::nullopt);
  EXPECT_EQ(manager_->Find({"m", std::nullopt, "gold"}).error().message, "Unrecognized servable version label: gold");
  config.policy = AllVersions{};
  ASSERT_TRUE(manager_->Reload({config}));
  EXPECT_EQ(Ask({"m", 2}), 3);
}

TEST_F(ModelManagerTest, WhatIsNotServedIsNamedInTensorFlowServingsWords) {
  Start();
  EXPECT_EQ(manager_->Find({"no"}).error().message, "Servable not found for request: Latest(no)");
  EXPECT_EQ(manager_->Find({"no", 7}).error().message, "Servable not found for request: Specific(no, 7)");
  EXPECT_EQ(manager_->Status({"no"}).error().message, "Could not find any versions of model no");
  EXPECT_EQ(manager_->Status({"no", 7}).error().message, "Could not find version 7 of model no");
}

TEST_F(ModelManagerTest, AWrongConfigurationIsRefusedWhole) {
  Publish("1", "1");
  Start();
  ASSERT_TRUE(manager_->Reload({Config()}));
  EXPECT_EQ(manager_->Reload({Config(), Config()}).error().kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(manager_->Reload({{"r", "relative", {}, {}}}).error().kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(manager_->Reload({{"m", base_ / "elsewhere", {}, {}}}).error().kind, ErrorKind::kFailedPrecondition);
  EXPECT_EQ(Ask({"m"}), 2);
  ModelConfig absent{"absent", base_ / "absent", {}, {}};
  EXPECT_THAT(manager_->Reload({Config(), absent}).error().message, HasSubstr("No such file or directory"));
  EXPECT_EQ(Ask({"m"}), 2);
}

TEST_F(ModelManagerTest, AWarmUpThatFailsFailsTheLoad) {
  Publish("1", "1");
  Start({.load_attempts = 1, .replay_warmup = [](const std::filesystem::path&, const Servable&) -> Result<void> {
           return Fail(InvalidArgument("a damaged warm-up record"));
         }});
  EXPECT_THAT(manager_->Reload({Config()}).error().message, HasSubstr("a damaged warm-up record"));
}

TEST_F(ModelManagerTest, LoadsGiveWayOnceSomethingIsServed) {
  std::vector<int> niceness;  // of the thread of each load
  Publish("1", "1");
  Start({.load_threads = 1,
         .loads_stand_back = true,
         .replay_warmup = [&](const std::filesystem::path&, const Servable&) -> Result<void> {
           niceness.push_back(::getpriority(PRIO_PROCESS, 0));
           return {};
         }});
  ASSERT_TRUE(manager_->Reload({Config()}));
  Publish("2", "2");
  ASSERT_TRUE(Eventually([&] { return StateOf(1) == VersionState::kEnd; }));
  int own = ::getpriority(PRIO_PROCESS, 0);
  ASSERT_EQ(niceness.size(), 2U);
  EXPECT_EQ(niceness[0], own) << "the first load makes TensorFlow's threads, which inherit";
  EXPECT_EQ(niceness[1], std::min(19, own + 10));
}

TEST(VersionDirectory, NumbersAreVersionsAndNothingElseIs) {
  char name[] = "/tmp/sagebrush-models-XXXXXX";
  std::filesystem::path base = ::mkdtemp(name);
  for (const char* child : {"007", "7", "12", "x1", "1x", "-3", "99999999999999999999"}) {
    std::filesystem::create_directory(base / child);
  }
  ASSERT_TRUE(io::WriteFile(base / "5", "a file"));
  auto versions = ListVersions(base);
  ASSERT_TRUE(versions);
  EXPECT_THAT(*versions, ElementsAre(::testing::Pair(7, base / "7"), ::testing::Pair(12, base / "12")));
  EXPECT_THAT(AspiredVersions(*versions, LatestVersions{1}), ElementsAre(12));
  std::filesystem::remove_all(base);
}

TEST_F(ModelManagerTest, AVersionLargerThanTheMemoryIsRefusedAndTheRunningOneStays) {
  Publish("1", "10");
  Start({.load_attempts = 1});
  ASSERT_TRUE(manager_->Reload({Config()}));
  std::filesystem::path scratch = base_ / "making", variables = scratch / "variables";
  std::filesystem::create_directories(variables);
  ASSERT_TRUE(io::WriteFile(scratch / "saved_model.pb", "20"));
  ASSERT_TRUE(io::WriteFile(variables / "variables.data-00000-of-00001", ""));
  std::filesystem::resize_file(variables / "variables.data-00000-of-00001", uintmax_t{8} << 40);  // a hole
  std::filesystem::rename(scratch, base_ / "2");
  ASSERT_TRUE(Eventually([&] { return StateOf(2) == VersionState::kEnd; }));
  std::optional<Error> error = (*manager_->Status({.name = "m", .version = 2}))[0].error;
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind, ErrorKind::kResourceExhausted);
  EXPECT_THAT(error->message, HasSubstr("needs 8388608 MiB of memory or more"));
  EXPECT_EQ(Ask({"m"}), 11);
  EXPECT_EQ(backend_.loads, 1);
}

}  // namespace
}  // namespace sagebrush::serving
