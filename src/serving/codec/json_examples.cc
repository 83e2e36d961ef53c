#include "serving/codec/json_examples.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>

#include "serving/codec/json_body.h"
#include "serving/codec/json_tape.h"
#include "serving/signature/wire_format.h"

namespace sagebrush::serving {
namespace {

// Field numbers of tensorflow/core/example/{example,feature}.proto.
constexpr uint32_t kExampleFeatures = 1, kFeaturesFeature = 1, kMapKey = 1, kMapValue = 2, kListValue = 1;
enum class FeatureKind : uint32_t { kNone = 0, kBytes = 1, kFloat = 2, kInt64 = 3 };  // the list's field in a Feature

// One feature: its elements, all of one kind.
class Feature {
 public:
  explicit Feature(std::string_view name) : name_(name) {}

  Result<void> Add(JsonValue value) {
    switch (value.kind()) {
      case JsonKind::kFalse:
      case JsonKind::kTrue:
        return AddInteger(value.kind() == JsonKind::kTrue ? 1 : 0);
      case JsonKind::kNumber:
        return AddNumber(value);
      case JsonKind::kString:
        return AddBytes(value.String());
      case JsonKind::kObject:
        if (value.IsBase64()) return AddBase64(value);
        break;
      case JsonKind::kNull:
      case JsonKind::kArray:
        break;
    }
    return Fail(InvalidArgument(
        fmt::format("Feature: {} has element with unexpected JSON type: {}", name_, JsonKindName(value.kind()))));
  }

  // A tensorflow.Feature.
  std::string Serialized() && {
    if (kind_ == FeatureKind::kNone) return {};
    std::string list = kind_ == FeatureKind::kBytes ? bytes_.Take() : WireWriter().Bytes(kListValue, packed_).Take();
    return WireWriter().Bytes(static_cast<uint32_t>(kind_), list).Take();
  }

 private:
  Result<void> Become(FeatureKind kind) {
    if (kind_ != FeatureKind::kNone && kind_ != kind) {
      std::string_view expected = kind_ == FeatureKind::kBytes   ? "bytes"
                                  : kind_ == FeatureKind::kFloat ? "float"
                                                                 : "int64";
      return Fail(
          InvalidArgument(fmt::format("Unexpected element type in feature: {} expecting type: {}", name_, expected)));
    }
    kind_ = kind;
    return {};
  }

  Result<void> AddInteger(int64_t value) {
    TRYV(Become(FeatureKind::kInt64));
    WireWriter::AppendVarint(packed_, static_cast<uint64_t>(value));
    return {};
  }

  Result<void> AddNumber(JsonValue value) {
    JsonNumber number = value.Number();
    if (std::optional<int64_t> whole = ToInt64(number)) return AddInteger(*whole);
    if (ToUint64(number)) {
      TRYV(Become(FeatureKind::kInt64));
      return Fail(InvalidArgument(fmt::format("Feature: {} has uint64 element. Only int64 is supported.", name_)));
    }
    TRYV(Become(FeatureKind::kFloat));
    float narrow = ToFloat(number);
    if (std::isinf(narrow) && number.kind != JsonNumber::Kind::kInfinity) {
      return Fail(InvalidArgument(
          fmt::format("Cannot convert JSON value: {} to float without loss of precision.", value.Shown())));
    }
    auto bits = std::bit_cast<uint32_t>(narrow);
    for (unsigned shift = 0; shift < 32; shift += 8) packed_ += static_cast<char>(bits >> shift);
    return {};
  }

  Result<void> AddBase64(JsonValue value) {
    std::optional<std::string> bytes = DecodeBase64Value(value.Find("b64")->String());
    TRYV(Become(FeatureKind::kBytes));
    if (!bytes) return Fail(InvalidArgument("Unable to base64 decode"));
    return AddBytes(*bytes);
  }

  Result<void> AddBytes(std::string_view value) {
    TRYV(Become(FeatureKind::kBytes));
    bytes_.Bytes(kListValue, value);
    return {};
  }

  std::string_view name_;
  FeatureKind kind_ = FeatureKind::kNone;
  std::string packed_;  // numbers
  WireWriter bytes_;    // a BytesList
};

// A tensorflow.Example of the members of an object.
Result<std::string> ExampleOf(JsonValue object) {
  if (!object.is_object()) {
    return Fail(
        InvalidArgument(fmt::format("Example must be JSON object but got JSON {}", JsonKindName(object.kind()))));
  }
  WireWriter features;
  Result<void> added;
  object.ForMembers([&](const std::string& name, JsonValue content) {
    Feature feature(name);
    if (content.is_array()) {
      content.ForElements([&](JsonValue element) {
        added = feature.Add(element);
        return added.has_value();
      });
    } else {
      added = feature.Add(content);
    }
    features.Bytes(kFeaturesFeature,
                   WireWriter().Bytes(kMapKey, name).Bytes(kMapValue, std::move(feature).Serialized()).bytes());
    return added.has_value();
  });
  TRYV(added);
  return WireWriter().Bytes(kExampleFeatures, features.bytes()).Take();
}

Error Misformed(JsonValue document, std::string_view what) {
  return InvalidArgument(fmt::format("JSON Value: {} {}", document.Shown(), what));
}

Result<JsonValue> ExampleList(JsonValue document) {
  std::optional<JsonValue> examples = document.Find("examples");
  if (!examples) {
    return Fail(Misformed(document, "When method is classify, key 'examples' is expected and was not found"));
  }
  if (!examples->is_array()) return Fail(Misformed(document, "Expecting 'examples' value to be an list/array"));
  if (examples->size() == 0) return Fail(Misformed(document, "'examples' value is an empty array"));
  return *examples;
}

}  // namespace

Result<DecodedExamples> ParseExamples(std::string_view body) {
  if (body.empty()) return Fail(InvalidArgument("JSON Parse error: The document is empty"));
  TRY(JsonTape tape, JsonTape::Parse(body));
  JsonValue document = tape.root();
  if (!document.is_object()) return Fail(Misformed(document, "Is not object"));
  DecodedExamples decoded;
  if (std::optional<JsonValue> name = document.Find("signature_name")) {
    if (name->kind() != JsonKind::kString) {
      return Fail(Misformed(document, "not formatted correctly. 'signature_name' key must be a string value."));
    }
    decoded.signature_name = name->String();
  }
  std::string context;
  if (std::optional<JsonValue> object = document.Find("context")) {
    TRY(context, ExampleOf(*object));
  }
  TRY(JsonValue examples, ExampleList(document));
  Result<void> read;
  examples.ForElements([&](JsonValue object) {
    Result<std::string> example = ExampleOf(object);
    if (!example) {
      read = Fail(std::move(example).error());
    } else {
      decoded.examples.push_back(context + *example);  // two messages one behind the other are merged by their reader
    }
    return read.has_value();
  });
  TRYV(read);
  return decoded;
}

}  // namespace sagebrush::serving
