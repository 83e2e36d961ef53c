#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "wire/shape.h"

namespace sagebrush::wire {

// Collects the violated constraints of one request and words them as the hosted service does, which clients show to
// their users and some parse. Paths are "inputDataConfig.1.member.channelName". Not thread-safe; one per request.
class Violations {
 public:
  void MissingMember(const std::string& path);
  void CheckString(const Shape& shape, const std::string& path, std::string_view value, bool sensitive);
  void CheckNumber(const Shape& shape, const std::string& path, double value, std::string_view text, bool sensitive);
  // `shown` is the list or map as the message prints it.
  void CheckSize(const Shape& shape, const std::string& path, size_t size, std::string_view shown, bool sensitive);
  // Scalars inside a list or map are reported once for their container, with all constraints of the element.
  void ElementsViolate(std::string_view role, const Shape& element, const std::string& path, std::string_view shown,
                       bool sensitive);

  // ValidationException with every violation so far, or nothing when there is none.
  Result<void> Finish() const;

 private:
  void Add(const std::string& path, std::string_view shown, bool sensitive, std::string_view constraint);

  std::vector<std::string> violations_;
  size_t count_ = 0;
};

// Whether a string or number fulfils every constraint of its shape.
bool Satisfies(const Shape& shape, std::string_view value);
bool Satisfies(const Shape& shape, double value);
size_t CountCodePoints(std::string_view utf8);

}  // namespace sagebrush::wire
