#include "serving/config/warmup_records.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <tensorflow_serving/prediction_log.pb.h>

#include "base/hash.h"
#include "io/file.h"

namespace sagebrush::serving {
namespace {

namespace api = ::tensorflow::serving;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string LittleEndianBytes(uint64_t value, size_t bytes) {
  std::string text;
  for (size_t index = 0; index < bytes; ++index) text += static_cast<char>(value >> (8 * index));
  return text;
}

std::string WithChecksum(const std::string& data) {
  uint32_t crc = Crc32c(data);
  return data + LittleEndianBytes(((crc >> 15) | (crc << 17)) + 0xa282ead8U, 4);
}

std::string Record(const std::string& data) {
  return WithChecksum(LittleEndianBytes(data.size(), 8)) + WithChecksum(data);
}

api::PredictionLog PredictLog() {
  api::PredictionLog log;
  api::PredictRequest& request = *log.mutable_predict_log()->mutable_request();
  request.mutable_model_spec()->set_name("whatever");
  ::tensorflow::TensorProto& x = (*request.mutable_inputs())["x"];
  x.set_dtype(::tensorflow::DT_FLOAT);
  x.mutable_tensor_shape()->add_dim()->set_size(2);
  x.add_float_val(4);
  request.add_output_filter("y");
  return log;
}

class WarmupRecordsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sagebrush-warmup-XXXXXX";
    directory_ = ::mkdtemp(name);
    ASSERT_TRUE(io::MakeDirectories(directory_ / "assets.extra"));
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  Result<std::vector<WarmupCall>> Read(const std::string& content) {
    EXPECT_TRUE(io::WriteFile(directory_ / "assets.extra/tf_serving_warmup_requests", content));
    return ReadWarmupCalls(directory_);
  }

  std::filesystem::path directory_;
};

TEST_F(WarmupRecordsTest, AVersionWithoutThemHasNone) {
  Result<std::vector<WarmupCall>> calls = ReadWarmupCalls(directory_);
  ASSERT_TRUE(calls);
  EXPECT_TRUE(calls->empty());
  EXPECT_TRUE(Read("")->empty());
}

TEST_F(WarmupRecordsTest, EveryKindOfRequestBecomesCalls) {
  api::PredictionLog classify, regress, multi;
  classify.mutable_classify_log()->mutable_request()->mutable_model_spec()->set_signature_name("c");
  classify.mutable_classify_log()->mutable_request()->mutable_input()->mutable_example_list()->add_examples("one");
  regress.mutable_regress_log()->mutable_request()->mutable_model_spec()->set_signature_name("r");
  *regress.mutable_regress_log()->mutable_request()->mutable_input() = classify.classify_log().request().input();
  for (const char* signature : {"m1", "m2"}) {
    multi.mutable_multi_inference_log()->mutable_request()->add_tasks()->mutable_model_spec()->set_signature_name(
        signature);
  }
  *multi.mutable_multi_inference_log()->mutable_request()->mutable_input() = classify.classify_log().request().input();
  std::string content;
  for (const api::PredictionLog& log : {PredictLog(), classify, regress, multi}) {
    content += Record(log.SerializeAsString());
  }
  Result<std::vector<WarmupCall>> calls = Read(content);
  ASSERT_TRUE(calls) << calls.error().message;
  ASSERT_EQ(calls->size(), 5U);
  EXPECT_EQ((*calls)[0].signature_name, "serving_default");
  EXPECT_THAT((*calls)[0].inputs.at("x").values<float>(), ElementsAre(4, 4));
  EXPECT_THAT((*calls)[0].outputs, ElementsAre("y"));
  std::vector<std::string> names;
  for (size_t index = 1; index < 5; ++index) {
    names.push_back((*calls)[index].signature_name);
    EXPECT_THAT((*calls)[index].inputs.at("inputs").strings(), ElementsAre("one"));
  }
  EXPECT_THAT(names, ElementsAre("c", "r", "m1", "m2"));
}

TEST_F(WarmupRecordsTest, EveryFlippedByteAndEveryCutIsFoundAndSaidWhere) {
  std::string good = Record(PredictLog().SerializeAsString());
  std::string content = good + good;
  for (size_t index = 0; index < content.size(); ++index) {
    std::string damaged = content;
    damaged[index] = static_cast<char>(damaged[index] ^ 0x10);
    Result<std::vector<WarmupCall>> calls = Read(damaged);
    ASSERT_FALSE(calls) << index;
    EXPECT_EQ(calls.error().kind, ErrorKind::kDataLoss);
    size_t record = index < good.size() ? 1 : 2;
    EXPECT_THAT(calls.error().message, HasSubstr(fmt::format("tf_serving_warmup_requests: record {} at byte {}", record,
                                                             (record - 1) * good.size())));
    if (index > 0 && index != good.size()) EXPECT_FALSE(Read(content.substr(0, index))) << index;
  }
}

TEST_F(WarmupRecordsTest, RefusesWhatItCannotReplay) {
  api::PredictionLog session, empty, bad_tensor = PredictLog();
  session.mutable_session_run_log();
  bad_tensor.mutable_predict_log()->mutable_request()->mutable_inputs()->at("x").set_tensor_content("abc");
  std::vector<std::pair<std::string, std::string>> cases{
      {session.SerializeAsString(), "record 1 at byte 0: a session_run_log cannot be replayed"},
      {empty.SerializeAsString(), "record 1 at byte 0: the record is no PredictionLog with a request"},
      {"\xff\xff", "record 1 at byte 0: the record is no PredictionLog"},
      {bad_tensor.SerializeAsString(), "record 1 at byte 0: input x: its tensor_content has 3 bytes"},
  };
  for (const auto& [data, message] : cases) {
    Result<std::vector<WarmupCall>> calls = Read(Record(data));
    ASSERT_FALSE(calls) << message;
    EXPECT_THAT(calls.error().message, HasSubstr(message));
  }
}

TEST_F(WarmupRecordsTest, AThousandAreTheLimit) {
  std::string record = Record(PredictLog().SerializeAsString()), content;
  for (size_t index = 0; index < kMostWarmupRecords; ++index) content += record;
  EXPECT_EQ(Read(content)->size(), kMostWarmupRecords);
  EXPECT_THAT(Read(content + record).error().message, HasSubstr("Number of warmup records exceeds the maximum (1000)"));
}

}  // namespace
}  // namespace sagebrush::serving
