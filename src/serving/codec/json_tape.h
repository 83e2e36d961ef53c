#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "serving/codec/json_scanner.h"

namespace sagebrush::serving {

enum class JsonKind : uint8_t { kNull, kFalse, kTrue, kNumber, kString, kArray, kObject };
// "Null", "Number": as TensorFlow Serving's messages say it.
std::string_view JsonKindName(JsonKind kind);

class JsonTape;

// A value on a tape: a cheap handle. `tape` outlives it.
class JsonValue {
 public:
  JsonValue(const JsonTape& tape, uint32_t index) : tape_(&tape), index_(index) {}

  JsonKind kind() const;
  bool is_object() const { return kind() == JsonKind::kObject; }
  bool is_array() const { return kind() == JsonKind::kArray; }
  uint32_t size() const;  // elements of a list, members of an object
  std::string_view text() const;
  std::string String() const;  // CHECKs the kind
  JsonNumber Number() const;   // CHECKs the kind
  // Whether it is {"b64": "…"}, and nothing else.
  bool IsBase64() const;

  // fn(JsonValue) → bool for every element, fn(std::string key, JsonValue) → bool for every member, in order, until one
  // returns false.
  template <class Fn>
  void ForElements(Fn fn) const;
  template <class Fn>
  void ForMembers(Fn fn) const;
  // The first member of that name.
  std::optional<JsonValue> Find(std::string_view key) const;
  JsonValue First() const { return {*tape_, index_ + 1}; }  // of a list that is not empty

  // As TensorFlow Serving's messages show it: pretty-printed, cut at about 256 bytes.
  std::string Shown() const;

 private:
  friend class JsonShower;
  const JsonTape* tape_;
  uint32_t index_;
};

// A JSON text as a flat list of values, 16 bytes for each, which point into the text. For what is not on the path of
// plain predict requests: examples, and finding what is wrong with a body.
class JsonTape {
 public:
  // Parses the first complete value of `text`, which the tape does not own, from `offset` on; at_end tells where it
  // ended. kInvalidArgument "JSON Parse error: …" in RapidJSON's words. A byte order mark in front is stepped over.
  static Result<JsonTape> Parse(std::string_view text, size_t offset = 0);

  JsonValue root() const { return {*this, 0}; }
  size_t end_offset() const { return end_offset_; }

 private:
  friend class JsonValue;
  friend class JsonTapeBuilder;
  struct Node {
    uint32_t begin, end;  // of its text
    uint32_t next;        // the node behind it and all that it holds
    uint32_t kind : 3;
    uint32_t size : 29;
  };

  std::string_view text_;
  std::vector<Node> nodes_;  // a member is its key's node and its value's
  size_t end_offset_ = 0;
};

template <class Fn>
void JsonValue::ForElements(Fn fn) const {
  uint32_t at = index_ + 1;
  for (uint32_t left = size(); left > 0; --left, at = tape_->nodes_[at].next) {
    if (!fn(JsonValue(*tape_, at))) return;
  }
}

template <class Fn>
void JsonValue::ForMembers(Fn fn) const {
  uint32_t at = index_ + 1;
  for (uint32_t left = size(); left > 0; --left, at = tape_->nodes_[at + 1].next) {
    if (!fn(JsonValue(*tape_, at).String(), JsonValue(*tape_, at + 1))) return;
  }
}

}  // namespace sagebrush::serving
