#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "wire/json.h"
#include "wire/shape.h"

// The AWS Query protocol (sts, iam): a form-encoded request, an XML reply.
namespace sagebrush::wire {

using Form = std::vector<std::pair<std::string, std::string>>;

// application/x-www-form-urlencoded. SerializationException for a broken escape or invalid UTF-8.
Result<Form> ParseForm(std::string_view body);
const std::string* FindField(const Form& form, std::string_view name);

// Template-free parts; use FromForm and ToXml.
Result<void> ReadForm(const Shape& shape, const Form& form, void* structure, UnknownMembers unknown);
std::string WriteXml(const Shape& shape, const void* structure);

// Lists arrive as Name.member.1, maps as Name.entry.1.key and .value. Validated like FromJson; a field that belongs to
// no member is unknown, but for Action and Version.
template <class T>
Result<T> FromForm(const Form& form, UnknownMembers unknown = UnknownMembers::kIgnored) {
  T value;
  TRYV(ReadForm(ShapeOf(static_cast<const T*>(nullptr)), form, &value, unknown));
  return value;
}

// The members of a reply as XML elements, without one around them.
template <class T>
std::string ToXml(const T& value) {
  return WriteXml(ShapeOf(static_cast<const T*>(nullptr)), &value);
}

}  // namespace sagebrush::wire
