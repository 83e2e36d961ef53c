#include "serving/tuning/autotune.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include "io/file.h"
#include "serving/tuning/sample.h"

namespace sagebrush::serving {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// Stands for the server's binary: a shell script that answers by the flags it is given.
class AutotuneTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sagebrush-autotune-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::optional<TensorFlowSetting> Tune(const std::string& script, TuningSpace space, std::chrono::seconds budget) {
    std::filesystem::path program = directory_ / "program";
    EXPECT_TRUE(io::WriteFileDurably(program, "#!/bin/sh\n" + script, 0755));
    return Autotune({.budget = budget,
                     .tensorflow_directory = "/tensorflow",
                     .models = {{"m", "/models/m/1"}},
                     .space = space,
                     .program = program.native()});
  }
  std::filesystem::path directory_;
};

constexpr const char* kAnswers = R"(
answer() { echo "measured: {\"speeds\": [{\"model\": \"m\", \"latency_ms\": $1, \"rows_per_second\": $2}], \"skipped\": []}"; }
)";

TEST_F(AutotuneTest, TheFastestSettingIsChosen) {
  std::string script = std::string(kAnswers) + R"(
[ "$1 $2 $3" = "measure --tensorflow /tensorflow" ] || exit 9
case "$*" in
  *"intra_op_parallelism 2 --tensorflow_inter_op_parallelism 2 --onednn false --model m=/models/m/1") answer 0.5 1000;;
  *"intra_op_parallelism 2 "*"--onednn false"*) answer 1 900;;
  *) answer 2 500;;
esac
)";
  EXPECT_EQ(Tune(script, {.cores = 2}, std::chrono::seconds(60)), (TensorFlowSetting{false, 2, 2}));
}

TEST_F(AutotuneTest, AProcessThatCrashesOrHangsOrPrintsHalfALineIsNotChosen) {
  std::string script = std::string(kAnswers) + R"(
case "$*" in
  *"intra_op_parallelism 1 "*"--onednn true"*) answer 0.1 9999; kill -SEGV $$;;
  *"intra_op_parallelism 1 "*) tail -f /dev/null;;
  *"intra_op_parallelism 2 --tensorflow_inter_op_parallelism -1 --onednn true"*) answer 5 10;;
  *) printf 'measured: {"speeds": [{"mod';;
esac
)";
  EXPECT_EQ(Tune(script, {.cores = 2}, std::chrono::seconds(3)), (TensorFlowSetting{true, 2, -1}));
}

TEST_F(AutotuneTest, ThereIsAnEndAndNoChoiceWhenNothingCanBeMeasured) {
  auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(Tune("tail -f /dev/null", {.cores = 2}, std::chrono::seconds(2)), std::nullopt);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  EXPECT_EQ(Tune("echo 'measured: {\"speeds\": [], \"skipped\": [{\"model\": \"m\", \"reason\": \"no numbers.\"}]}'",
                 {.cores = 1}, std::chrono::seconds(60)),
            std::nullopt);
}

TEST(Measurement, GoesThroughALineAmongOthers) {
  Measurement measurement{.speeds = {{"a \"b\"", 0.25, 4000}}, .skipped = {{"c", "why\nnot"}}};
  std::optional<Measurement> read = FromOutput("a log line\n" + ToLine(measurement) + "another\n");
  ASSERT_TRUE(read);
  ASSERT_EQ(read->speeds.size(), 1U);
  EXPECT_EQ(read->speeds[0].model, "a \"b\"");
  EXPECT_EQ(read->speeds[0].latency_ms, 0.25);
  EXPECT_EQ(read->speeds[0].rows_per_second, 4000);
  EXPECT_THAT(read->skipped, ElementsAre(Pair("c", "why\nnot")));
  EXPECT_EQ(FromOutput("nothing of the kind\n"), std::nullopt);
}

Signature Of(DataType type, std::optional<Shape> shape) {
  Signature signature;
  signature.inputs["x"] = {"x:0", type, std::move(shape)};
  signature.outputs["y"] = {"y:0", type, Shape{-1}};
  return signature;
}

TEST(TuningSample, IsMadeUpForTheFirstSignatureThatSaysEnough) {
  SignatureMap signatures{{"other", Of(DataType::kFloat, Shape{-1, 3})},
                          {std::string(kDefaultSignature), Of(DataType::kString, Shape{-1})}};
  Result<Sample> sample = MakeSample("/nonexistent", signatures);
  ASSERT_TRUE(sample) << sample.error().message;
  EXPECT_EQ(sample->signature_name, "other");
  EXPECT_EQ(sample->one[0].shape(), (Shape{1, 3}));
  EXPECT_EQ(sample->many[0].shape(), (Shape{kManyRows, 3}));
  EXPECT_EQ(sample->many_rows, kManyRows);
}

TEST(TuningSample, KeepsRowsThatTheSignatureFixes) {
  Result<Sample> sample = MakeSample("/nonexistent", {{"s", Of(DataType::kFloat, Shape{4, 3})}});
  ASSERT_TRUE(sample) << sample.error().message;
  EXPECT_EQ(sample->many[0].shape(), (Shape{4, 3}));
  EXPECT_EQ(sample->many_rows, 1);
}

TEST(TuningSample, SaysWhyThereIsNone) {
  Result<Sample> strings = MakeSample("/nonexistent", {{"s", Of(DataType::kString, Shape{-1})}});
  ASSERT_FALSE(strings);
  EXPECT_THAT(strings.error().message, HasSubstr("Input x holds no numbers"));
  EXPECT_FALSE(MakeSample("/nonexistent", {{"s", Of(DataType::kFloat, std::nullopt)}}));
}

}  // namespace
}  // namespace sagebrush::serving
