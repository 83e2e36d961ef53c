#include "control/tag_frontend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/test_database.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;
using testing::ElementsAre;
using testing::HasSubstr;

class TagFrontendTest : public testing::Test {
 protected:
  static TagFrontend::Kind Only(const std::string& kind, const std::string& existing) {
    return {kind, [existing](const std::string& name) -> Result<void> {
              if (name == existing) return {};
              return Fail(NotFound("there is no " + name, "ValidationException"));
            }};
  }

  TestDatabase database_;
  TagTable tags_{*database_};
  Arns arns_{"123456789012", "us-west-2"};
  TagFrontend frontend_{
      tags_, arns_, {Only("training-job", "job"), Only("endpoint", "e"), Only("endpoint-config", "c")}};
};

TEST_F(TagFrontendTest, AddsReplacesListsAndDeletes) {
  std::string arn = arns_.Of("training-job", "job");
  EXPECT_THAT(frontend_.AddTags({arn, {{"team", "a"}, {"cost", "1"}}})->Tags,
              ElementsAre(sm::Tag{"team", "a"}, sm::Tag{"cost", "1"}));
  ASSERT_TRUE(frontend_.AddTags({arn, {{"team", "b"}, {"new", "2"}}}));
  EXPECT_THAT(frontend_.ListTags({.ResourceArn = arn})->Tags,
              ElementsAre(sm::Tag{"team", "b"}, sm::Tag{"cost", "1"}, sm::Tag{"new", "2"}));
  ASSERT_TRUE(frontend_.DeleteTags({arn, {"team"}}));
  EXPECT_EQ(frontend_.ListTags({.ResourceArn = arn})->Tags.size(), 2u);
}

TEST_F(TagFrontendTest, EachKindHasItsOwnTags) {
  ASSERT_TRUE(frontend_.AddTags({arns_.Of("endpoint", "e"), {{"k", "endpoint"}}}));
  ASSERT_TRUE(frontend_.AddTags({arns_.Of("endpoint-config", "c"), {{"k", "config"}}}));
  EXPECT_EQ(frontend_.ListTags({.ResourceArn = arns_.Of("endpoint", "e")})->Tags[0].Value, "endpoint");
  EXPECT_EQ(frontend_.ListTags({.ResourceArn = arns_.Of("endpoint-config", "c")})->Tags[0].Value, "config");
}

TEST_F(TagFrontendTest, WhatDoesNotExistHasNoTags) {
  Result<sm::ListTagsOutput> unknown = frontend_.ListTags({.ResourceArn = arns_.Of("endpoint", "c")});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().message, "there is no c");
  for (const char* arn : {"arn:aws:sagemaker:eu-west-1:1:training-job/job", "training-job/job",
                          "arn:aws:sagemaker:us-west-2:123456789012:pipeline/p"}) {
    Result<sm::AddTagsOutput> added = frontend_.AddTags({arn, {{"k", "v"}}});
    ASSERT_FALSE(added) << arn;
    EXPECT_EQ(added.error().code, "ValidationException");
    EXPECT_THAT(added.error().message, HasSubstr(arn));
    EXPECT_THAT(added.error().message, HasSubstr("training-job/…, endpoint/…"));
    EXPECT_FALSE(frontend_.DeleteTags({arn, {"k"}}));
  }
}

TEST_F(TagFrontendTest, AResourceHasAtMostFiftyTags) {
  std::string arn = arns_.Of("endpoint", "e");
  std::vector<sm::Tag> fifty;
  for (int i = 0; i < 50; ++i) fifty.push_back({"k" + std::to_string(i), ""});
  ASSERT_TRUE(frontend_.AddTags({arn, fifty}));
  EXPECT_FALSE(frontend_.AddTags({arn, {{"one more", ""}}}));
  EXPECT_EQ(frontend_.ListTags({.ResourceArn = arn})->Tags.size(), 50u);
}

}  // namespace
}  // namespace sagebrush::control
