#include "serving/invocations/artifact.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include "io/file.h"
#include "serving/handlers/handler_code.h"

namespace sagebrush::serving {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class ArtifactTest : public ::testing::Test {
 protected:
  ArtifactTest() {
    char name[] = "/tmp/sagebrush-artifact-XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~ArtifactTest() override { fs::remove_all(root_); }

  void Put(const std::string& path) {
    ASSERT_TRUE(io::MakeDirectories((root_ / path).parent_path()));
    ASSERT_TRUE(io::WriteFile(root_ / path, "content"));
  }
  std::vector<std::pair<std::string, std::string>> Found() {
    Result<std::vector<ModelConfig>> models = FindModels(root_);
    EXPECT_TRUE(models) << models.error().message;
    std::vector<std::pair<std::string, std::string>> found;
    if (!models) return found;
    for (const ModelConfig& model : *models) {
      EXPECT_TRUE(std::holds_alternative<AllVersions>(model.policy));
      found.emplace_back(model.name, model.base_path.lexically_relative(root_).string());
    }
    return found;
  }

  fs::path root_;
};

TEST_F(ArtifactTest, FindsModelsAtAnyDepthByTheirVersions) {
  Put("half/000123/saved_model.pb");
  Put("half/124/saved_model.pb");
  Put("export/Servo/1/saved_model.pb");
  Put("half/124/variables/variables.index");
  Put("notes/draft/saved_model.pb");  // no version
  EXPECT_THAT(Found(), ::testing::ElementsAre(std::pair("Servo", "export/Servo"), std::pair("half", "half")));
}

TEST_F(ArtifactTest, NamesVersionsBelowTheRootModel) {
  Put("1/saved_model.pb");
  EXPECT_THAT(Found(), ::testing::ElementsAre(std::pair("model", ".")));
  root_ /= "";  // as with a slash at the end
  EXPECT_EQ(Found().at(0).first, "model");
}

TEST_F(ArtifactTest, RefusesAnArtifactWithoutAModel) {
  Put("half/saved_model.pb");
  Result<std::vector<ModelConfig>> models = FindModels(root_);
  ASSERT_FALSE(models);
  EXPECT_THAT(models.error().message, HasSubstr("no SavedModel bundles found!"));
  EXPECT_FALSE(FindModels(root_ / "absent"));
}

TEST_F(ArtifactTest, RefusesTwoModelsOfOneName) {
  Put("a/half/1/saved_model.pb");
  Put("b/half/1/saved_model.pb");
  Result<std::vector<ModelConfig>> models = FindModels(root_);
  ASSERT_FALSE(models);
  EXPECT_THAT(models.error().message, HasSubstr("two models are named half"));
}

TEST_F(ArtifactTest, EndsInALoopOfLinks) {
  Put("half/1/saved_model.pb");
  fs::create_directory_symlink(root_, root_ / "half" / "again");
  EXPECT_THAT(Found(), ::testing::ElementsAre(std::pair("half", "half")));
}

TEST_F(ArtifactTest, ChoosesTheDefaultModel) {
  Put("half/1/saved_model.pb");
  Put("third/1/saved_model.pb");
  Result<std::vector<ModelConfig>> models = FindModels(root_);
  ASSERT_TRUE(models);
  EXPECT_EQ(ChooseDefaultModel(*models, "").value(), "half");
  EXPECT_EQ(ChooseDefaultModel(*models, "third").value(), "third");
  Result<std::string> absent = ChooseDefaultModel(*models, "fourth");
  ASSERT_FALSE(absent);
  EXPECT_THAT(absent.error().message, HasSubstr("half, third"));
}

TEST_F(ArtifactTest, FindsHandlersAndPrefersTheLibrary) {
  EXPECT_FALSE(FindHandlerCode(root_));
  Put("code/requirements.txt");
  EXPECT_FALSE(FindHandlerCode(root_));
  Put("code/inference.py");
  std::optional<HandlerCode> code = FindHandlerCode(root_);
  ASSERT_TRUE(code);
  EXPECT_EQ(code->requirements, root_ / "code" / "requirements.txt");
  EXPECT_FALSE(code->library);
  Put("code/lib/module.py");
  code = FindHandlerCode(root_);
  ASSERT_TRUE(code);
  EXPECT_FALSE(code->requirements);
  EXPECT_EQ(code->library, root_ / "code" / "lib");
}

}  // namespace
}  // namespace sagebrush::serving
