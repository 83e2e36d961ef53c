#include "control/images/image_catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/images/python_interpreters.h"

namespace sagebrush::control {
namespace {

using testing::Contains;
using testing::HasSubstr;

ImageCatalog BuiltIn() { return *ImageCatalog::Load({}); }

TEST(ImageCatalog, FindsHostedTensorFlowImages) {
  struct Case {
    const char* uri;
    const char* python;
    const char* requirement;
  };
  for (const Case& c : {
           Case{"763104351884.dkr.ecr.us-west-2.amazonaws.com/tensorflow-training:2.19-cpu-py312", "3.12",
                "tensorflow-cpu==2.19.*"},
           Case{"763104351884.dkr.ecr.us-west-2.amazonaws.com/tensorflow-training:2.16.2-cpu-py310", "3.10",
                "tensorflow-cpu==2.16.2"},
           Case{"tensorflow-training:2.6-cpu-py38", "3.8", "tensorflow-cpu==2.6.*"},
           Case{"520713654638.dkr.ecr.us-west-2.amazonaws.com/sagemaker-tensorflow-scriptmode:2.2-cpu-py37", "3.7",
                "tensorflow-cpu==2.2.*"},
           Case{"763104351884.dkr.ecr.us-west-2.amazonaws.com/tensorflow-training:2.19.0-gpu-py312", "3.12",
                "tensorflow==2.19.0"},
       }) {
    Result<ImageRecipe> recipe = BuiltIn().Find(c.uri);
    ASSERT_TRUE(recipe) << c.uri;
    EXPECT_EQ(recipe->python, c.python);
    EXPECT_THAT(recipe->requirements, Contains(c.requirement)) << c.uri;
  }
}

// URIs as the SDKs make them for TensorFlow.deploy() and TensorFlowModel.
TEST(ImageCatalog, ServingSharesTheEnvironmentOfTraining) {
  struct Case {
    const char* inference;
    const char* training;
  };
  for (const Case& c : {Case{"763104351884.dkr.ecr.us-west-2.amazonaws.com/tensorflow-inference:2.19-cpu",
                             "763104351884.dkr.ecr.us-west-2.amazonaws.com/tensorflow-training:2.19-cpu-py312"},
                        Case{"tensorflow-inference:2.20-cpu-py312", "tensorflow-training:2.20-cpu-py312"},
                        Case{"tensorflow-inference:2.19.0-gpu", "tensorflow-training:2.19.0-gpu-py312"},
                        Case{"tensorflow-inference:2.18.0-cpu", "tensorflow-training:2.18.0-cpu-py310"},
                        Case{"tensorflow-inference:2.12-cpu", "tensorflow-training:2.12-cpu-py310"},
                        Case{"tensorflow-inference-graviton:2.16-cpu-py310-ubuntu20.04-sagemaker",
                             "tensorflow-training:2.16-cpu-py310"},
                        Case{"tensorflow-inference:2.11.1-cpu", "tensorflow-training:2.11.1-cpu-py39"},
                        Case{"tensorflow-inference:2.10-gpu", "tensorflow-training:2.10-gpu-py39"},
                        Case{"tensorflow-inference:2.8.4-cpu", "tensorflow-training:2.8.4-cpu-py39"},
                        Case{"tensorflow-inference:2.7.0-cpu", "tensorflow-training:2.7.0-cpu-py38"},
                        Case{"tensorflow-inference:2.6-cpu", "tensorflow-training:2.6-cpu-py38"},
                        Case{"tensorflow-inference:2.5.1-cpu", "tensorflow-training:2.5.1-cpu-py37"},
                        Case{"tensorflow-inference:2.1-cpu", "tensorflow-training:2.1-cpu-py37"},
                        Case{"520713654638.dkr.ecr.us-west-2.amazonaws.com/sagemaker-tensorflow-serving:1.12-cpu",
                             "sagemaker-tensorflow-scriptmode:1.12-cpu-py37"}}) {
    Result<ImageRecipe> serving = BuiltIn().Find(c.inference), training = BuiltIn().Find(c.training);
    ASSERT_TRUE(serving) << c.inference;
    ASSERT_TRUE(training) << c.training;
    EXPECT_EQ(serving->python, training->python) << c.inference;
    EXPECT_EQ(serving->requirements, training->requirements) << c.inference;
    EXPECT_EQ(serving->serve, (std::vector<std::string>{"sagebrush-model-server", "serve"}));
    EXPECT_TRUE(serving->mpi_requirements.empty());
  }
}

TEST(ImageCatalog, ServesWithTheProgramThatTheEntryNames) {
  EXPECT_EQ(BuiltIn().Find("sagebrush/python:3.11")->serve, std::vector<std::string>{"serve"});
  Result<ImageCatalog> catalog = ImageCatalog::Parse(R"(
[[image]]
pattern = 'mine:1'
serve = ["python", "/opt/ml/model/code/server.py"]
[[image]]
pattern = 'mine:2'
)",
                                                     "test.toml");
  ASSERT_TRUE(catalog) << catalog.error().message;
  EXPECT_EQ(catalog->Find("mine:1")->serve, (std::vector<std::string>{"python", "/opt/ml/model/code/server.py"}));
  EXPECT_EQ(catalog->Find("mine:2")->serve, std::vector<std::string>{"serve"});
}

TEST(ImageCatalog, HorovodComesWithMpiAlone) {
  ImageRecipe recipe = *BuiltIn().Find("tensorflow-training:2.15.1-cpu-py311");
  EXPECT_THAT(recipe.mpi_requirements, Contains("horovod==0.28.1"));
  EXPECT_THAT(recipe.requirements, testing::Not(Contains("horovod==0.28.1")));
  EXPECT_TRUE(BuiltIn().Find("sagebrush/python:3.11")->mpi_requirements.empty());
}

TEST(ImageCatalog, PlainPythonHasNoRequirements) {
  Result<ImageRecipe> recipe = BuiltIn().Find("sagebrush/python:3.11");
  ASSERT_TRUE(recipe);
  EXPECT_EQ(recipe->python, "3.11");
  EXPECT_TRUE(recipe->requirements.empty());
  EXPECT_EQ(BuiltIn().Find("sagebrush/python:latest")->python, "");
}

TEST(ImageCatalog, AnUnknownImageIsNamedWithTheWayOut) {
  for (const char* uri : {"", "ubuntu:22.04", "tensorflow-training", "tensorflow-training:2.19-cpu-py312 && x",
                          "tensorflow-training:evil$(x)-cpu-py312", "123.example.com/pytorch-training:2.0-cpu-py310"}) {
    Result<ImageRecipe> recipe = BuiltIn().Find(uri);
    ASSERT_FALSE(recipe) << uri;
    EXPECT_EQ(recipe.error().kind, ErrorKind::kNotFound);
    EXPECT_THAT(recipe.error().message, HasSubstr(uri));
    EXPECT_THAT(recipe.error().message, HasSubstr("images.toml"));
  }
}

TEST(ImageCatalog, TheFirstMatchingEntryWins) {
  Result<ImageCatalog> catalog = ImageCatalog::Parse(R"(
[[image]]
name = "mine"
pattern = 'tensorflow-training:.*'
python = "3.11"
requirements = ["tensorflow-cpu==2.15.1", "numpy<2"]
note = "ours"
)",
                                                     "test.toml");
  ASSERT_TRUE(catalog);
  Result<ImageRecipe> recipe = catalog->Find("tensorflow-training:2.19-cpu-py312");
  ASSERT_TRUE(recipe);
  EXPECT_EQ(*recipe, (ImageRecipe{"mine", "3.11", {"tensorflow-cpu==2.15.1", "numpy<2"}, "ours"}));
}

TEST(ImageCatalog, BadFilesAreRefusedWithFileAndReason) {
  struct Case {
    const char* toml;
    const char* reason;
  };
  for (const Case& c :
       {Case{"[[image]\n", "bad.toml, line 1"}, Case{"colour = 1\n", "unknown key 'colour'"},
        Case{"[[image]]\nshape = 'x'\n", "'shape' is not a key"}, Case{"[[image]]\npattern = 3\n", "'pattern'"},
        Case{"[[image]]\npattern = '('\n", "pattern ("}, Case{"[[image]]\nserve = []\n", "'serve' is not a key"},
        Case{"[[image]]\nserve = 'x'\n", "'serve'"}, Case{"[[image]]\nrequirements = [1]\n", "'requirements'"}}) {
    Result<ImageCatalog> catalog = ImageCatalog::Parse(c.toml, "bad.toml");
    ASSERT_FALSE(catalog) << c.toml;
    EXPECT_THAT(catalog.error().message, HasSubstr(c.reason));
    EXPECT_THAT(catalog.error().message, HasSubstr("bad.toml"));
  }
}

TEST(PythonInterpreters, TheNearestMinorComesFirst) {
  std::vector<PythonInterpreter> installed = {
      {"", "", "3.13.0"}, {"", "", "3.12.1"}, {"", "", "3.11.7"}, {"", "", "3.9.18"}};
  auto order = [&](const std::string& wanted) {
    std::string minors;
    for (const PythonInterpreter& python : ByNearness(installed, wanted)) minors += python.minor() + " ";
    return minors;
  };
  EXPECT_EQ(order("3.12"), "3.12 3.13 3.11 3.9 ");
  EXPECT_EQ(order("3.10"), "3.11 3.9 3.12 3.13 ");
  EXPECT_EQ(order(""), "3.13 3.12 3.11 3.9 ");
}

TEST(PythonInterpreters, FindsThisMachinesPython) {
  std::vector<PythonInterpreter> found = FindPythonInterpreters();
  ASSERT_FALSE(found.empty());
  for (const PythonInterpreter& python : found) {
    EXPECT_TRUE(python.minor().starts_with("3.")) << python.executable;
    EXPECT_TRUE(std::filesystem::is_directory(python.prefix)) << python.prefix;
  }
}

}  // namespace
}  // namespace sagebrush::control
