// What is wrong with a predict body. The order of the checks is TensorFlow Serving's, so that of several faults the
// same one is told.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "serving/codec/json_body.h"
#include "serving/codec/json_tape.h"
#include "serving/core/status.h"

namespace sagebrush::serving {
namespace {

struct Seen {
  int64_t size = 0;
  Shape shape;
};

Error Refuse(std::string message) { return InvalidArgument(std::move(message)); }

bool IsElementObject(JsonValue value) { return value.is_object() && !value.IsBase64(); }

Error WrongType(JsonValue value, DataType type) {
  return Refuse(fmt::format("JSON Value: {} Type: {} is not of expected type: {}", value.Shown(),
                            JsonKindName(value.kind()), TypeName(type)));
}

template <class T>
bool HoldsInteger(JsonValue value) {
  if (value.kind() != JsonKind::kNumber) return false;
  std::optional<int64_t> whole = ToInt64(value.Number());
  return whole && *whole >= std::numeric_limits<T>::min() && *whole <= std::numeric_limits<T>::max();
}

Result<void> CheckFloat(JsonValue value) {
  if (value.kind() != JsonKind::kNumber) return Fail(WrongType(value, DataType::kFloat));
  JsonNumber number = value.Number();
  if (std::isinf(ToFloat(number)) && number.kind != JsonNumber::Kind::kInfinity) {
    return Fail(
        Refuse(fmt::format("Cannot convert JSON value: {} to float without loss of precision.", value.Shown())));
  }
  return {};
}

// Whether the value is one of the type; nullopt for types that JSON cannot state.
std::optional<bool> Holds(JsonValue value, DataType type) {
  switch (type) {
    case DataType::kDouble:
      return value.kind() == JsonKind::kNumber;
    case DataType::kInt8:
      return HoldsInteger<int8_t>(value);
    case DataType::kUint8:
      return HoldsInteger<uint8_t>(value);
    case DataType::kInt16:
      return HoldsInteger<int16_t>(value);
    case DataType::kInt32:
      return HoldsInteger<int32_t>(value);
    case DataType::kInt64:
      return HoldsInteger<int64_t>(value);
    case DataType::kUint32:
      return HoldsInteger<uint32_t>(value);
    case DataType::kUint64:
      return value.kind() == JsonKind::kNumber && ToUint64(value.Number()).has_value();
    case DataType::kBool:
      return value.kind() == JsonKind::kTrue || value.kind() == JsonKind::kFalse;
    case DataType::kString:
      return value.kind() == JsonKind::kString;
    default:
      return std::nullopt;
  }
}

Result<void> CheckBase64(JsonValue value) {
  if (!value.IsBase64()) {
    return Fail(Refuse(fmt::format("JSON Value: {} not formatted correctly for base64 data", value.Shown())));
  }
  if (!DecodeBase64Value(value.Find("b64")->String())) return Fail(Refuse("Unable to base64 decode"));
  return {};
}

Result<void> CheckScalar(JsonValue value, DataType type) {
  if (value.is_object()) return type == DataType::kString ? CheckBase64(value) : Fail(WrongType(value, type));
  if (type == DataType::kFloat) return CheckFloat(value);
  std::optional<bool> holds = Holds(value, type);
  if (!holds) {
    return Fail(ErrorOf(CanonicalCode::kUnimplemented,
                        fmt::format("Conversion of JSON Value: {} to type: {}", value.Shown(), TypeName(type))));
  }
  if (!*holds) return Fail(WrongType(value, type));
  return {};
}

Shape DenseShape(JsonValue value) {
  Shape shape;
  while (value.is_array()) {
    shape.push_back(value.size());
    if (value.size() == 0) break;
    value = value.First();
  }
  return shape;
}

// A value against the shape of its first elements; counts the scalars.
Result<void> CheckValue(JsonValue value, size_t level, DataType type, Seen& seen) {
  size_t rank = seen.shape.size();
  if (!value.is_array()) {
    if (level != rank) {
      return Fail(
          Refuse(fmt::format("JSON Value: {} found at incorrect level: {} in the JSON DOM. Expected at level: {}",
                             value.Shown(), level + 1, rank)));
    }
    ++seen.size;
    return CheckScalar(value, type);
  }
  if (level >= rank) {
    return Fail(Refuse(fmt::format("Encountered list at unexpected level: {} expected < {}", level, rank)));
  }
  if (value.size() != seen.shape[level]) {
    return Fail(Refuse(fmt::format("Encountered list at unexpected size: {} at level: {} expected size: {}",
                                   value.size(), level, seen.shape[level])));
  }
  Result<void> checked;
  value.ForElements([&](JsonValue element) {
    checked = CheckValue(element, level + 1, type, seen);
    return checked.has_value();
  });
  return checked;
}

Result<Seen> CheckTensor(JsonValue value, DataType type) {
  Seen seen{.shape = DenseShape(value)};
  if (seen.shape.size() > kMostItemDimensions) {
    return Fail(Refuse(fmt::format("Lists nested deeper than {} levels are not supported.", kMostItemDimensions)));
  }
  TRYV(CheckValue(value, 0, type, seen));
  return seen;
}

class RowCheck {
 public:
  explicit RowCheck(const Signature& signature) : inputs_(signature.inputs) {}

  // The next row; the first one tells whether rows are objects.
  Result<void> Row(JsonValue row) {
    if (count_ == 0) {
      if (!IsElementObject(row) && inputs_.size() > 1) {
        return Fail(
            Refuse("instances is a plain list, but expecting list of objects as multiple input tensors required as per "
                   "tensorinfo_map"));
      }
      objects_ = IsElementObject(row);
    }
    if (objects_ != IsElementObject(row)) {
      return Fail(Refuse(fmt::format("Expecting {} at item {} of input list",
                                     objects_ ? "object but got list" : "value/list but got object", count_)));
    }
    TRYV(objects_ ? Object(row) : Plain(row));
    ++count_;
    return {};
  }
  bool empty() const { return count_ == 0; }

 private:
  Result<void> Plain(JsonValue row) {
    const auto& [name, info] = *inputs_.begin();
    Result<void> checked = Input(row, name);
    if (checked) return checked;
    return Fail(Refuse(fmt::format("Failed to process element: {} of 'instances' list. Error: {}", count_,
                                   StatusText(checked.error()))));
  }

  Result<void> Object(JsonValue row) {
    Result<void> checked;
    std::set<std::string, std::less<>> keys;
    row.ForMembers([&](const std::string& key, JsonValue value) {
      bool once = keys.insert(key).second;
      checked = Input(value, key);
      if (!checked) {
        checked = Fail(Refuse(fmt::format("Failed to process element: {} key: {} of 'instances' list. Error: {}",
                                          count_, key, StatusText(checked.error()))));
      } else if (!once) {
        checked = Fail(WrongKeys(row));
      }
      return checked.has_value();
    });
    TRYV(checked);
    if (keys.size() != inputs_.size()) return Fail(WrongKeys(row));
    return {};
  }

  Error WrongKeys(JsonValue row) const {
    std::vector<std::string_view> names;
    for (const auto& [name, info] : inputs_) names.push_back(name);
    return Refuse(
        fmt::format("Failed to process element: {} of 'instances' list. JSON object: {} keys must be equal to: {}",
                    count_, row.Shown(), fmt::join(names, ",")));
  }

  static std::string StatusText(const Error& error) {
    return fmt::format("{}: {}", CodeName(CodeOf(error)), error.message);
  }

  Result<void> Input(JsonValue value, const std::string& name) {
    auto input = inputs_.find(name);
    if (input == inputs_.end()) return Fail(Refuse("JSON object: does not have named input: " + name));
    TRY(Seen seen, CheckTensor(value, input->second.type));
    auto [first, added] = seen_.try_emplace(name, seen);
    if (first->second.size != seen.size) {
      return Fail(Refuse(fmt::format("Expecting tensor size: {} but got: {}", first->second.size, seen.size)));
    }
    if (first->second.shape != seen.shape) {
      return Fail(
          Refuse(fmt::format("Expecting shape {} but got: {}", ShapeText(first->second.shape), ShapeText(seen.shape))));
    }
    return {};
  }

  const std::map<std::string, TensorInfo, std::less<>>& inputs_;
  std::map<std::string, Seen> seen_;  // of the first row
  int64_t count_ = 0;
  bool objects_ = false;
};

Result<void> CheckInstances(JsonValue document, JsonValue instances, const Signature& signature) {
  if (!instances.is_array()) {
    return Fail(Refuse(fmt::format("JSON Value: {} Expecting 'instances' to be an list/array", document.Shown())));
  }
  if (instances.size() == 0) {
    return Fail(Refuse(fmt::format("JSON Value: {} No values in 'instances' array", document.Shown())));
  }
  RowCheck rows(signature);
  Result<void> checked;
  instances.ForElements([&](JsonValue row) {
    checked = rows.Row(row);
    return checked.has_value();
  });
  return checked;
}

Result<void> CheckColumns(JsonValue columns, const Signature& signature) {
  if (!IsElementObject(columns)) {
    if (signature.inputs.size() > 1) {
      return Fail(
          Refuse("inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                 "tensorinfo_map"));
    }
    TRYV(CheckTensor(columns, signature.inputs.begin()->second.type));
    return {};
  }
  for (const auto& [name, info] : signature.inputs) {
    std::optional<JsonValue> column = columns.Find(name);
    if (!column) return Fail(Refuse(fmt::format("Missing named input: {} in 'inputs' object.", name)));
    TRYV(CheckTensor(*column, info.type));
  }
  return {};
}

Result<const Signature*> UsableSignature(const SignatureMap& signatures, std::string_view name) {
  TRY(auto signature, FindSignature(signatures, name));
  if (signature->second.inputs.empty()) {
    return Fail(Refuse(
        fmt::format("Failed to get input map for signature: {}", name.empty() ? std::string_view("DEFAULT") : name)));
  }
  return &signature->second;
}

Result<void> CheckDocument(JsonValue document, const SignatureMap& signatures) {
  if (!document.is_object()) return Fail(Refuse(fmt::format("JSON Value: {} Is not object", document.Shown())));
  std::string name;
  if (std::optional<JsonValue> named = document.Find("signature_name")) {
    if (named->kind() != JsonKind::kString) {
      return Fail(Refuse(fmt::format(
          "JSON Value: {} not formatted correctly. 'signature_name' key must be a string value.", document.Shown())));
    }
    name = named->String();
  }
  TRY(const Signature* signature, UsableSignature(signatures, name));
  std::optional<JsonValue> instances = document.Find("instances"), inputs = document.Find("inputs");
  if (instances && inputs) {
    return Fail(Refuse(fmt::format(
        "JSON Value: {} Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        document.Shown())));
  }
  if (instances) return CheckInstances(document, *instances, *signature);
  if (inputs) return CheckColumns(*inputs, *signature);
  return Fail(Refuse("Missing 'inputs' or 'instances' key"));
}

Result<void> CheckRows(std::string_view body, BodyForm form, const Signature& signature) {
  RowCheck rows(signature);
  for (size_t at = 0; rows.empty() || (form == BodyForm::kLines && at < body.size());) {
    TRY(JsonTape tape, JsonTape::Parse(body, at));
    TRYV(rows.Row(tape.root()));
    at = std::min(body.size(), body.find_first_not_of(" \t\r\n", tape.end_offset()));
  }
  return {};
}

}  // namespace

Result<void> CheckPredict(std::string_view body, BodyForm form, const SignatureMap& signatures) {
  if (body.empty()) return Fail(Refuse("JSON Parse error: The document is empty"));
  if (form == BodyForm::kInstance || form == BodyForm::kLines) {
    TRY(const Signature* signature, UsableSignature(signatures, ""));
    return CheckRows(body, form, *signature);
  }
  TRY(JsonTape tape, JsonTape::Parse(body));
  if (form == BodyForm::kServing) return CheckDocument(tape.root(), signatures);
  TRY(const Signature* signature, UsableSignature(signatures, ""));
  return CheckInstances(tape.root(), tape.root(), *signature);
}

}  // namespace sagebrush::serving
