#include "serving/codec/json_tape.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "base/check.h"
#include "serving/codec/json_print.h"

namespace sagebrush::serving {
namespace {

constexpr size_t kMostText = (size_t{1} << 29) - 1;  // what the nodes' sizes can count
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr size_t kMostShown = 256;

}  // namespace

// RapidJSON's iterative parser: the states are what may come next in the innermost list or object.
class JsonTapeBuilder {
 public:
  JsonTapeBuilder(std::string_view text, size_t offset) : scanner_(text) {
    tape_.text_ = text;
    scanner_.MoveTo(offset);
    if (offset == 0 && text.starts_with(kByteOrderMark)) scanner_.MoveTo(kByteOrderMark.size());
  }

  Result<JsonTape> Build() {
    if (tape_.text_.size() > kMostText) {
      return Fail(InvalidArgument(fmt::format("JSON of more than {} bytes is not supported.", kMostText)));
    }
    if (!Run()) return Fail(InvalidArgument(scanner_.FaultText()));
    tape_.end_offset_ = scanner_.offset();
    return std::move(tape_);
  }

 private:
  bool Run() {
    scanner_.SkipSpace();
    if (scanner_.AtEnd() || std::string_view(",:]}").contains(scanner_.Peek())) {
      return scanner_.Fail("The document is empty.");
    }
    if (!Value()) return false;
    while (!open_.empty()) {
      if (!(IsArray() ? Element() : Member())) return false;
    }
    return true;
  }

  bool IsArray() const { return tape_.nodes_[open_.back()].kind == static_cast<uint32_t>(JsonKind::kArray); }

  // A scalar, or the beginning of a list or object.
  bool Value() {
    scanner_.SkipSpace();
    switch (scanner_.Peek()) {
      case '[':
        return Open(JsonKind::kArray);
      case '{':
        return Open(JsonKind::kObject);
      case '"':
        return String();
      case 'n':
        return Word(JsonKind::kNull, "null");
      case 't':
        return Word(JsonKind::kTrue, "true");
      case 'f':
        return Word(JsonKind::kFalse, "false");
      default: {
        size_t from = scanner_.offset();
        JsonNumber number;
        return scanner_.ScanNumber(number) && Push(JsonKind::kNumber, from);
      }
    }
  }

  bool Push(JsonKind kind, size_t from) {
    auto next = static_cast<uint32_t>(tape_.nodes_.size() + 1);
    tape_.nodes_.push_back({.begin = static_cast<uint32_t>(from),
                            .end = static_cast<uint32_t>(scanner_.offset()),
                            .next = next,
                            .kind = static_cast<uint32_t>(kind),
                            .size = 0});
    return true;
  }

  bool Word(JsonKind kind, std::string_view word) {
    size_t from = scanner_.offset();
    return scanner_.ScanWord(word) && Push(kind, from);
  }

  bool String() {
    size_t from = scanner_.offset();
    return scanner_.ScanString(nullptr) && Push(JsonKind::kString, from);
  }

  bool Open(JsonKind kind) {
    if (open_.size() >= kMostJsonLevels) {
      return scanner_.Fail(fmt::format("Nesting deeper than {} levels is not supported.", kMostJsonLevels));
    }
    open_.push_back(static_cast<uint32_t>(tape_.nodes_.size()));
    size_t from = scanner_.offset();
    scanner_.Take(kind == JsonKind::kArray ? '[' : '{');
    return Push(kind, from);
  }

  bool Close() {
    JsonTape::Node& node = tape_.nodes_[open_.back()];
    node.end = static_cast<uint32_t>(scanner_.offset());
    node.next = static_cast<uint32_t>(tape_.nodes_.size());
    open_.pop_back();
    return true;
  }

  bool Element() {
    scanner_.SkipSpace();
    if (scanner_.Take(']')) return Close();
    JsonTape::Node& list = tape_.nodes_[open_.back()];
    if (list.size > 0 && !scanner_.Take(',')) {
      return scanner_.Fail("Missing a comma or ] after an array element.");
    }
    ++list.size;
    return Value();
  }

  bool Member() {
    scanner_.SkipSpace();
    if (scanner_.Take('}')) return Close();
    JsonTape::Node& object = tape_.nodes_[open_.back()];
    if (object.size > 0 && !scanner_.Take(',')) {
      return scanner_.Fail("Missing a comma or } after an object member.");
    }
    ++object.size;
    scanner_.SkipSpace();
    if (scanner_.Peek() != '"') return scanner_.Fail("Missing a name for object member.");
    if (!String()) return false;
    scanner_.SkipSpace();
    if (!scanner_.Take(':')) return scanner_.Fail("Missing a colon after a name of object member.");
    return Value();
  }

  JsonScanner scanner_;
  JsonTape tape_;
  std::vector<uint32_t> open_;
};

// Prints a value until enough of it can be seen.
class JsonShower {
 public:
  std::string Show(const JsonValue& value) {
    Value(value, true);
    std::string shown = writer_.Take();
    if (shown.size() > kMostShown) shown.resize(kMostShown);
    return shown;
  }

 private:
  bool Enough() const { return writer_.size() > kMostShown; }

  void Value(const JsonValue& value, bool alone) {
    switch (value.kind()) {
      case JsonKind::kNull:
      case JsonKind::kFalse:
      case JsonKind::kTrue:
        return writer_.Raw(value.text());
      case JsonKind::kNumber:
        return Number(value, alone);
      case JsonKind::kString:
        return writer_.String(value.String());
      case JsonKind::kArray:
        return List(value);
      case JsonKind::kObject:
        return Object(value);
    }
  }

  void Number(const JsonValue& value, bool alone) {
    JsonNumber number = value.Number();
    bool integer = ToInt64(number) || ToUint64(number);
    if (integer) return writer_.Raw(value.text());
    double wide = ToDouble(number);
    // A lone number that a float can hold is shown as one.
    if (alone && std::isfinite(ToFloat(number))) return writer_.Number(ToFloat(number));
    writer_.Number(wide);
  }

  void List(const JsonValue& value) {
    writer_.StartArray();
    value.ForElements([this](JsonValue element) {
      Value(element, false);
      return !Enough();
    });
    writer_.EndArray();
  }

  void Object(const JsonValue& value) {
    writer_.StartObject();
    value.ForMembers([this](const std::string& key, JsonValue member) {
      writer_.Key(key);
      Value(member, false);
      return !Enough();
    });
    writer_.EndObject();
  }

  PrettyWriter writer_;
};

std::string_view JsonKindName(JsonKind kind) {
  static constexpr std::array<std::string_view, 7> kNames{"Null",   "False", "True",  "Number",
                                                          "String", "Array", "Object"};
  return kNames[static_cast<size_t>(kind)];
}

Result<JsonTape> JsonTape::Parse(std::string_view text, size_t offset) { return JsonTapeBuilder(text, offset).Build(); }

JsonKind JsonValue::kind() const { return static_cast<JsonKind>(tape_->nodes_[index_].kind); }
uint32_t JsonValue::size() const { return tape_->nodes_[index_].size; }

std::string_view JsonValue::text() const {
  const JsonTape::Node& node = tape_->nodes_[index_];
  return tape_->text_.substr(node.begin, node.end - node.begin);
}

std::string JsonValue::String() const {
  std::string value;
  JsonScanner scanner(text());
  CHECK(kind() == JsonKind::kString && scanner.ScanString(&value));
  return value;
}

JsonNumber JsonValue::Number() const {
  JsonNumber number;
  JsonScanner scanner(text());
  CHECK(kind() == JsonKind::kNumber && scanner.ScanNumber(number));
  return number;
}

bool JsonValue::IsBase64() const {
  if (!is_object() || size() != 1) return false;
  JsonValue key(*tape_, index_ + 1), value(*tape_, index_ + 2);
  return key.String() == "b64" && value.kind() == JsonKind::kString;
}

std::optional<JsonValue> JsonValue::Find(std::string_view key) const {
  std::optional<JsonValue> found;
  ForMembers([&](const std::string& name, JsonValue value) {
    if (name == key) found = value;
    return !found;
  });
  return found;
}

std::string JsonValue::Shown() const { return JsonShower().Show(*this); }

}  // namespace sagebrush::serving
