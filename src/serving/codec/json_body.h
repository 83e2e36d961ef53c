#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "serving/rest/rest_inference.h"
#include "serving/signature/signature.h"

namespace sagebrush::serving {

// How a body of JSON states the inputs of a predict call.
enum class BodyForm {
  kServing,    // {"instances": […]} by rows or {"inputs": …} by columns, with an optional "signature_name"
  kInstances,  // what would be the value of "instances"
  kInstance,   // one of the rows
  kLines,      // rows, one behind the other, parted by white space: JSON Lines
};

// The inputs of a predict call as dense tensors in buffers aligned to kTensorAlignment, in TensorFlow Serving's
// reading: of rows, which gain the batch dimension in front, all must have one shape; strings may be {"b64": "…"};
// what follows the first complete value is ignored (but for kLines). A float is rounded once, to the nearest.
//
// One pass over the text, straight into the buffers. Only a body that is refused is gone through again, to say what is
// wrong with it in TensorFlow Serving's words: kInvalidArgument, or the code UNIMPLEMENTED for an input of a type that
// JSON cannot state. Where TensorFlow Serving would wrap a number around to fit int8, uint8 or int16, or make a finite
// one infinite to fit float, it is refused.
Result<DecodedPredict> ParsePredict(std::string_view body, BodyForm form, const SignatureMap& signatures);

// What is wrong with a body; no error when nothing is. Slower than ParsePredict, to which it agrees.
Result<void> CheckPredict(std::string_view body, BodyForm form, const SignatureMap& signatures);

// The signature of that name, or of the default one for "".
Result<SignatureMap::const_iterator> FindSignature(const SignatureMap& signatures, std::string_view name);

// Base64 with the usual alphabet; padding may be missing, white space is skipped.
std::optional<std::string> DecodeBase64Value(std::string_view text);

inline constexpr size_t kMostItemDimensions = 253;  // of a row; TensorFlow's tensors have at most 254

}  // namespace sagebrush::serving
