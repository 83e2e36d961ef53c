#pragma once

#include <vector>

#include "serving/signature/signature.h"

namespace sagebrush::serving {

// One tensor for each input, in the order of the map: numbers from 0 to 1 for real inputs, always the same ones, and
// zeros for others (indexes, say). A free first dimension gets `rows` elements, other free ones get one. kUnsupported,
// naming the input, where the signature says too little (unknown rank) or the input holds no numbers.
Result<std::vector<Tensor>> MadeUpInputs(const Signature& signature, int64_t rows);

}  // namespace sagebrush::serving
