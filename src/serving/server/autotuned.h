#pragma once

#include "serving/server/options.h"

namespace sagebrush::serving {

// --autotune: sets oneDNN and TensorFlow's threads to what suits the models that are named; what the user has set
// stays. Of many models the first kMostTunedModels by name are measured. Blocks for up to the options' budget.
inline constexpr size_t kMostTunedModels = 4;
void Autotune(ServerOptions& options);

// `sagebrush-model-server measure`: what Autotune runs in processes of their own. Prints the measurement; the exit
// code.
int MeasureAndPrint(const ServerOptions& options);

}  // namespace sagebrush::serving
