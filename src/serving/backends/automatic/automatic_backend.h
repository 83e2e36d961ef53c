#pragma once

#include <memory>

#include "serving/backends/backend.h"

namespace sagebrush::serving {

// Serves a model by OpenVINO where that gives TensorFlow's results, and by TensorFlow otherwise. At each load both
// compute the signature serving_default on the same made-up inputs; when OpenVINO cannot load the model or its results
// differ by more than the tolerance, a log line says why, and TensorFlow serves. Signatures that OpenVINO does not know
// are computed by TensorFlow, which is kept in memory for them only where there are such.
std::unique_ptr<Backend> MakeAutomaticBackend(std::unique_ptr<Backend> tensorflow, std::unique_ptr<Backend> openvino);

// |a - b| ≤ this + this share of |b|, for each element.
inline constexpr double kAbsoluteTolerance = 1e-4, kRelativeTolerance = 1e-3;

}  // namespace sagebrush::serving
