#include "wire/validation.h"

#include <fmt/format.h>

#include <algorithm>

#include "wire/pattern.h"

namespace sagebrush::wire {
namespace {

constexpr size_t kMaxReported = 100;        // violations in one message; the count is always the true one
constexpr size_t kMaxShownBytes = 1024;     // of a value in a message
constexpr size_t kMaxPatternBytes = 65536;  // a longer text is not tried against a pattern; its length is at fault

std::string JoinValues(std::span<const std::string_view> values) {
  return fmt::format("Member must satisfy enum value set: [{}]", fmt::join(values, ", "));
}

// One text per violated constraint of a string, in the hosted order.
std::vector<std::string> StringConstraints(const Shape& shape, std::string_view value, bool all) {
  std::vector<std::string> out;
  int64_t length = static_cast<int64_t>(CountCodePoints(value));
  if (shape.max && (all || length > *shape.max)) {
    out.push_back(fmt::format("Member must have length less than or equal to {}", *shape.max));
  }
  if (shape.min && (all || length < *shape.min)) {
    out.push_back(fmt::format("Member must have length greater than or equal to {}", *shape.min));
  }
  bool too_long_to_try = value.size() > kMaxPatternBytes;
  if (!shape.pattern.empty() && (all || (!too_long_to_try && !MatchesPattern(shape.pattern, value)))) {
    out.push_back(fmt::format("Member must satisfy regular expression pattern: {}", shape.pattern));
  }
  if (!shape.values.empty() && (all || std::ranges::find(shape.values, value) == shape.values.end())) {
    out.push_back(JoinValues(shape.values));
  }
  return out;
}

std::vector<std::string> NumberConstraints(const Shape& shape, double value, bool all) {
  std::vector<std::string> out;
  if (shape.max && (all || value > static_cast<double>(*shape.max))) {
    out.push_back(fmt::format("Member must have value less than or equal to {}", *shape.max));
  }
  if (shape.min && (all || value < static_cast<double>(*shape.min))) {
    out.push_back(fmt::format("Member must have value greater than or equal to {}", *shape.min));
  }
  return out;
}

// At most kMaxShownBytes of it, cut between characters.
std::string Shorten(std::string_view text) {
  if (text.size() <= kMaxShownBytes) return std::string(text);
  size_t end = kMaxShownBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "...";
}

}  // namespace

size_t CountCodePoints(std::string_view utf8) {
  return static_cast<size_t>(
      std::ranges::count_if(utf8, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

bool Satisfies(const Shape& shape, std::string_view value) { return StringConstraints(shape, value, false).empty(); }
bool Satisfies(const Shape& shape, double value) { return NumberConstraints(shape, value, false).empty(); }

void Violations::Add(const std::string& path, std::string_view shown, bool sensitive, std::string_view constraint) {
  if (++count_ > kMaxReported) return;
  std::string value = sensitive ? "Value" : fmt::format("Value '{}'", Shorten(shown));
  violations_.push_back(fmt::format("{} at '{}' failed to satisfy constraint: {}", value, path, constraint));
}

void Violations::MissingMember(const std::string& path) {
  if (++count_ > kMaxReported) return;
  violations_.push_back(fmt::format("Value null at '{}' failed to satisfy constraint: Member must not be null", path));
}

void Violations::CheckString(const Shape& shape, const std::string& path, std::string_view value, bool sensitive) {
  for (const std::string& text : StringConstraints(shape, value, false)) Add(path, value, sensitive, text);
}

void Violations::CheckNumber(const Shape& shape, const std::string& path, double value, std::string_view text,
                             bool sensitive) {
  for (const std::string& constraint : NumberConstraints(shape, value, false)) Add(path, text, sensitive, constraint);
}

void Violations::CheckSize(const Shape& shape, const std::string& path, size_t size, std::string_view shown,
                           bool sensitive) {
  int64_t length = static_cast<int64_t>(size);
  if (shape.max && length > *shape.max) {
    Add(path, shown, sensitive, fmt::format("Member must have length less than or equal to {}", *shape.max));
  }
  if (shape.min && length < *shape.min) {
    Add(path, shown, sensitive, fmt::format("Member must have length greater than or equal to {}", *shape.min));
  }
}

void Violations::ElementsViolate(std::string_view role, const Shape& element, const std::string& path,
                                 std::string_view shown, bool sensitive) {
  bool is_string = element.kind == Kind::kString;
  std::vector<std::string> all = is_string ? StringConstraints(element, "", true) : NumberConstraints(element, 0, true);
  Add(path, shown, sensitive, fmt::format("{} must satisfy constraint: [{}]", role, fmt::join(all, ", ")));
}

Result<void> Violations::Finish() const {
  if (count_ == 0) return {};
  std::string message =
      fmt::format("{} validation error{} detected: {}", count_, count_ == 1 ? "" : "s", fmt::join(violations_, "; "));
  if (count_ > violations_.size()) message += fmt::format("; and {} more", count_ - violations_.size());
  return Fail(InvalidArgument(std::move(message), "ValidationException"));
}

}  // namespace sagebrush::wire
