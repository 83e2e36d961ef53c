#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "wire/shape.h"

namespace sagebrush::wire {

// What happens to members that the model does not know.
enum class UnknownMembers { kIgnored, kRefused };

// The walker over the generated tables, for any structure. Template-free; use FromJson and friends below.
Result<void> ReadJson(const Shape& shape, std::string_view text, void* structure,
                      UnknownMembers unknown = UnknownMembers::kIgnored);
Result<void> ReadJsonValue(const Shape& shape, const boost::json::value& value, void* structure,
                           UnknownMembers unknown = UnknownMembers::kIgnored);
std::string WriteJson(const Shape& shape, const void* structure, bool redact);

// A request body as the structure T of gen/, parsed and validated against the API model. Errors, kInvalidArgument:
//  - SerializationException: not JSON, not UTF-8, nested deeper than 64, or a value of the wrong JSON type;
//  - ValidationException: every violated constraint of the model at once, in the hosted wording; or, by name, a member
//    that the model does not know where those are refused.
// Null members count as absent, an empty body is `{}`.
template <class T>
Result<T> FromJson(std::string_view text, UnknownMembers unknown = UnknownMembers::kIgnored) {
  T value;
  TRYV(ReadJson(ShapeOf(static_cast<const T*>(nullptr)), text, &value, unknown));
  return value;
}

// Absent members are left out; so are empty lists and maps that are neither required nor marked in overrides.toml.
template <class T>
std::string ToJson(const T& value) {
  return WriteJson(ShapeOf(static_cast<const T*>(nullptr)), &value, false);
}

// For log lines: ToJson with "***" for every sensitive member.
template <class T>
std::string Redacted(const T& value) {
  return WriteJson(ShapeOf(static_cast<const T*>(nullptr)), &value, true);
}

}  // namespace sagebrush::wire
