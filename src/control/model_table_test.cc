#include "control/model_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/endpoint_config_table.h"
#include "control/tag_table.h"
#include "control/test_database.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;
using testing::ElementsAre;

class ModelTableTest : public testing::Test {
 protected:
  static ModelRecord Record(const std::string& name, int64_t created_ms = 1000) {
    ModelRecord record;
    record.request.ModelName = name;
    record.request.PrimaryContainer = sm::ContainerDefinition{};
    record.request.PrimaryContainer->Image = "sagebrush/python:3.11";
    record.request.PrimaryContainer->Environment = {{"TOKEN", "secret"}};
    record.request.Tags = {{"team", "a"}};
    record.created_ms = created_ms;
    return record;
  }

  TestDatabase database_;
  ModelTable models_{*database_};
  TagTable tags_{*database_};
};

TEST_F(ModelTableTest, KeepsTheWholeRequest) {
  ModelRecord record = Record("m");
  ASSERT_TRUE(models_.Insert(record, "arn:m", ""));
  Result<ModelRecord> stored = models_.Get("m");
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->request, record.request);
  EXPECT_EQ(stored->created_ms, 1000);
  EXPECT_THAT(*tags_.List("arn:m"), ElementsAre(sm::Tag{"team", "a"}));
}

TEST_F(ModelTableTest, TheSameCallCreatesOnce) {
  ASSERT_TRUE(models_.Insert(Record("m"), "arn:m", "call-1"));
  EXPECT_TRUE(models_.Insert(Record("m"), "arn:m", "call-1"));
  for (const char* other : {"call-2", ""}) {
    Result<void> again = models_.Insert(Record("m"), "arn:m", other);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, "ValidationException");
    EXPECT_EQ(again.error().message, "Cannot create already existing model \"arn:m\".");
  }
}

TEST_F(ModelTableTest, ARemovedModelIsUnknownAndItsTagsAreGone) {
  ASSERT_TRUE(models_.Insert(Record("m"), "arn:m", ""));
  ASSERT_TRUE(models_.Remove("m", "arn:m"));
  EXPECT_TRUE(tags_.List("arn:m")->empty());
  Result<ModelRecord> gone = models_.Get("m");
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(gone.error().code, "ValidationException");
  EXPECT_EQ(gone.error().message, "Could not find model \"m\".");
  EXPECT_EQ(models_.Remove("m", "arn:m").error().message, "Could not find model \"arn:m\".");
}

TEST_F(ModelTableTest, TagsThatCameAfterTheRemovalAreNotTheNextModels) {
  ASSERT_TRUE(tags_.Add("arn:m", {{"stale", "1"}}));
  ASSERT_TRUE(models_.Insert(Record("m"), "arn:m", ""));
  EXPECT_THAT(*tags_.List("arn:m"), ElementsAre(sm::Tag{"team", "a"}));
}

TEST_F(ModelTableTest, ListsByCreation) {
  for (int i = 0; i < 3; ++i) {
    std::string name = "m" + std::to_string(i);
    ASSERT_TRUE(models_.Insert(Record(name, 1000 + i), "arn:" + name, ""));
  }
  auto arn_of = [](const std::string& name) { return "arn:" + name; };
  Result<sm::ListModelsOutput> first = models_.List({.MaxResults = 2}, arn_of);
  ASSERT_TRUE(first);
  EXPECT_THAT(first->Models, ElementsAre(sm::ModelSummary{"m2", "arn:m2", wire::Timestamp{1002}},
                                         sm::ModelSummary{"m1", "arn:m1", wire::Timestamp{1001}}));
  Result<sm::ListModelsOutput> second = models_.List({.NextToken = first->NextToken, .MaxResults = 2}, arn_of);
  ASSERT_TRUE(second);
  EXPECT_THAT(second->Models, ElementsAre(sm::ModelSummary{"m0", "arn:m0", wire::Timestamp{1000}}));
  EXPECT_FALSE(second->NextToken);
}

TEST_F(ModelTableTest, EndpointConfigurationsAreKeptAlike) {
  EndpointConfigTable configs(*database_);
  EndpointConfigRecord record;
  record.request.EndpointConfigName = "c";
  record.request.ProductionVariants.push_back({.VariantName = "AllTraffic", .ModelName = "m"});
  record.request.Tags = {{"team", "a"}};
  record.created_ms = 5;
  ASSERT_TRUE(configs.Insert(record, "arn:c", "call"));
  EXPECT_TRUE(configs.Insert(record, "arn:c", "call"));
  EXPECT_EQ(configs.Insert(record, "arn:c", "").error().message,
            "Cannot create already existing endpoint configuration \"arn:c\".");
  EXPECT_EQ(configs.Get("c")->request, record.request);
  EXPECT_EQ(configs.Get("c")->created_ms, 5);
  Result<sm::ListEndpointConfigsOutput> listed =
      configs.List({}, [](const std::string& name) { return "arn:" + name; });
  ASSERT_TRUE(listed);
  EXPECT_THAT(listed->EndpointConfigs, ElementsAre(sm::EndpointConfigSummary{"c", "arn:c", wire::Timestamp{5}}));
  EXPECT_EQ(tags_.List("arn:c")->size(), 1u);
  ASSERT_TRUE(configs.Remove("c", "arn:c"));
  EXPECT_TRUE(tags_.List("arn:c")->empty());
  EXPECT_EQ(configs.Get("c").error().message, "Could not find endpoint configuration \"c\".");
}

}  // namespace
}  // namespace sagebrush::control
