#include "control/images/image_catalog.h"

namespace sagebrush::control {

// The extra packages are those that scripts may expect from the hosted TensorFlow images.
std::string_view BuiltInImageCatalog() {
  return R"toml(
# Environments for the hosted TensorFlow training images: tensorflow-training:2.19-cpu-py312, 2.19.0-gpu-py312, and the
# older repository sagemaker-tensorflow-scriptmode.
[[image]]
name = "tensorflow-training"
pattern = '(?:[^/]+/)*(?:tensorflow-training|sagemaker-tensorflow-scriptmode):(?<version>\d+\.\d+(?:\.\d+)?)-cpu-py(?<python>\d{2,3})(?:-.*)?'
python = "{python}"
requirements = ["tensorflow-cpu=={version}", "scipy", "pandas", "scikit-learn", "pillow", "requests", "boto3", "psutil", "pyyaml"]
mpi_requirements = ["horovod==0.28.1"]

[[image]]
name = "tensorflow-training-gpu"
pattern = '(?:[^/]+/)*(?:tensorflow-training|sagemaker-tensorflow-scriptmode):(?<version>\d+\.\d+(?:\.\d+)?)-gpu-py(?<python>\d{2,3})(?:-.*)?'
python = "{python}"
requirements = ["tensorflow=={version}", "scipy", "pandas", "scikit-learn", "pillow", "requests", "boto3", "psutil", "pyyaml"]
mpi_requirements = ["horovod==0.28.1"]

# Plain Python without any package: image_uri="sagebrush/python:3.11" (or :latest).
[[image]]
name = "python"
pattern = 'sagebrush/python:(?<python>\d+\.\d+|latest)'
python = "{python}"
requirements = []
)toml";
}

}  // namespace sagebrush::control
