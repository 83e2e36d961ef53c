#include <fmt/format.h>

#include "control/images/image_catalog.h"

namespace sagebrush::control {
namespace {

// The extra packages are those that scripts may expect from the hosted TensorFlow images.
constexpr std::string_view kExtraPackages =
    R"("scipy", "pandas", "scikit-learn", "pillow", "requests", "boto3", "psutil", "pyyaml")";

// "cpu" images hold tensorflow-cpu, "gpu" images tensorflow.
std::string Requirements(std::string_view processor) {
  return fmt::format(R"(["tensorflow{}=={{version}}", {}])", processor == "cpu" ? "-cpu" : "", kExtraPackages);
}

std::string TrainingEntry(std::string_view processor) {
  return fmt::format(R"toml(
[[image]]
name = "tensorflow-training{suffix}"
pattern = '(?:[^/]+/)*(?:tensorflow-training|sagemaker-tensorflow-scriptmode):(?<version>\d+\.\d+(?:\.\d+)?)-{processor}-py(?<python>\d{{2,3}})(?:-.*)?'
python = "{{python}}"
requirements = {requirements}
mpi_requirements = ["horovod==0.28.1"]
)toml",
                     fmt::arg("suffix", processor == "gpu" ? "-gpu" : ""), fmt::arg("processor", processor),
                     fmt::arg("requirements", Requirements(processor)));
}

std::string InferenceEntry(std::string_view processor, std::string_view version, std::string_view python_tag,
                           std::string_view python) {
  return fmt::format(R"toml(
[[image]]
name = "tensorflow-inference{suffix}"
pattern = '(?:[^/]+/)*(?:tensorflow-inference|tensorflow-inference-graviton|sagemaker-tensorflow-serving):(?<version>{version}(?:\.\d+)?)-{processor}{python_tag}(?:-.*)?'
python = "{python}"
requirements = {requirements}
serve = ["sagebrush-model-server", "serve"]
)toml",
                     fmt::arg("suffix", processor == "gpu" ? "-gpu" : ""), fmt::arg("version", version),
                     fmt::arg("processor", processor), fmt::arg("python_tag", python_tag), fmt::arg("python", python),
                     fmt::arg("requirements", Requirements(processor)));
}

// Most tags of inference images name no Python. Theirs is that of the training image of the same TensorFlow, so that
// training and serving share one environment.
std::string InferenceEntries(std::string_view processor) {
  struct Range {
    std::string_view versions, python;
  };
  std::string text = InferenceEntry(processor, R"(\d+\.\d+)", R"(-py(?<python>\d{2,3}))", "{python}");
  for (const Range& range :
       {Range{R"((?:1\.\d+|2\.[0-5]))", "3.7"}, Range{R"(2\.[67])", "3.8"}, Range{R"(2\.(?:8|9|10|11))", "3.9"},
        Range{R"(2\.1[2-8])", "3.10"}, Range{R"(\d+\.\d+)", "3.12"}}) {
    text += InferenceEntry(processor, range.versions, "", range.python);
  }
  return text;
}

std::string Build() {
  return R"toml(# Environments for the hosted TensorFlow training images: tensorflow-training:2.19-cpu-py312, 2.19.0-gpu-py312, and the
# older repository sagemaker-tensorflow-scriptmode.
)toml" + TrainingEntry("cpu") +
         TrainingEntry("gpu") + R"toml(
# The hosted TensorFlow inference images: tensorflow-inference:2.19-cpu, 2.20-cpu-py312, the graviton ones, and the older
# repository sagemaker-tensorflow-serving. The first entry that matches decides, so the ranges of versions go upwards.
)toml" + InferenceEntries("cpu") +
         InferenceEntries("gpu") + R"toml(
# Plain Python without any package: image_uri="sagebrush/python:3.11" (or :latest).
[[image]]
name = "python"
pattern = 'sagebrush/python:(?<python>\d+\.\d+|latest)'
python = "{python}"
requirements = []
)toml";
}

}  // namespace

std::string_view BuiltInImageCatalog() {
  static const std::string text = Build();
  return text;
}

}  // namespace sagebrush::control
