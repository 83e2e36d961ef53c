#pragma once

#include <compare>
#include <functional>
#include <string>
#include <utility>

namespace sagebrush {

// A name that cannot be mixed up with another kind of name. Tag is any incomplete struct.
template <class Tag>
class StrongId {
 public:
  StrongId() = default;
  explicit StrongId(std::string value) : value_(std::move(value)) {}
  const std::string& value() const { return value_; }
  bool empty() const { return value_.empty(); }
  auto operator<=>(const StrongId&) const = default;

 private:
  std::string value_;
};

using JobName = StrongId<struct JobNameTag>;
// One instance of one attempt of a job, deterministic: "<job>.<attempt>.<rank>" (job names have no dots).
using InstanceId = StrongId<struct InstanceIdTag>;

// The engine's lease number: grows by one at every start of an engine on a data directory.
struct Epoch {
  int64_t value = 0;
  auto operator<=>(const Epoch&) const = default;
};

}  // namespace sagebrush

template <class Tag>
struct std::hash<sagebrush::StrongId<Tag>> {
  size_t operator()(const sagebrush::StrongId<Tag>& id) const { return std::hash<std::string>()(id.value()); }
};
