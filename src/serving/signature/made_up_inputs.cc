#include "serving/signature/made_up_inputs.h"

#include <algorithm>
#include <cstring>
#include <random>

namespace sagebrush::serving {
namespace {

constexpr unsigned kSeed = 20;

}  // namespace

Result<std::vector<Tensor>> MadeUpInputs(const Signature& signature, int64_t rows) {
  std::mt19937 random(kSeed);
  std::uniform_real_distribution<float> unit;
  std::vector<Tensor> inputs;
  for (const auto& [alias, info] : signature.inputs) {
    if (!info.shape) return Fail(Unsupported("The rank of input " + alias + " is not known."));
    Shape shape = *info.shape;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      if (shape[axis] == -1) shape[axis] = axis == 0 ? rows : 1;
    }
    if (ElementBytes(info.type) == 0 || !ElementCount(shape))
      return Fail(Unsupported("Input " + alias + " holds no numbers."));
    Tensor input = Tensor::Numeric(info.type, std::move(shape));
    std::memset(input.mutable_data(), 0, input.byte_size());
    if (info.type == DataType::kFloat)
      std::ranges::generate(input.mutable_values<float>(), [&] { return unit(random); });
    if (info.type == DataType::kDouble)
      std::ranges::generate(input.mutable_values<double>(), [&] { return unit(random); });
    inputs.push_back(std::move(input));
  }
  return inputs;
}

}  // namespace sagebrush::serving
