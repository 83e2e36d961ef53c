#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "serving/tensor/tensor.h"

namespace sagebrush::serving {

inline constexpr std::string_view kDefaultSignature = "serving_default";
inline constexpr std::string_view kPredictMethod = "tensorflow/serving/predict";
inline constexpr std::string_view kClassifyMethod = "tensorflow/serving/classify";
inline constexpr std::string_view kRegressMethod = "tensorflow/serving/regress";

// One input or output of a signature, as the SavedModel states it.
struct TensorInfo {
  std::string name;  // of the graph's tensor: "operation:index"
  DataType type = DataType::kInvalid;
  std::optional<Shape> shape;  // -1: any size; nullopt: any rank
};

// A way of calling a model. Inputs and outputs are keyed by their alias, the name that clients use; everywhere in
// serving/, lists of tensors are in the order of these maps.
struct Signature {
  std::map<std::string, TensorInfo, std::less<>> inputs, outputs;
  std::string method_name;
};

using SignatureMap = std::map<std::string, Signature, std::less<>>;

// The signatures of a serialized tensorflow.MetaGraphDef (field 5), without those that TensorFlow keeps for itself
// (their names begin with "__saved_model"). Reads the wire format itself: the graph, which is most of the message, is
// stepped over. kInvalidArgument for a broken message.
Result<SignatureMap> ReadSignatures(std::string_view meta_graph_def);

}  // namespace sagebrush::serving
