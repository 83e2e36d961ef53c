#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sagebrush {

// A gzip stream of one or more members, unpacked as its bytes come. Errors: kResourceExhausted for more than `limit`
// unpacked bytes, kInvalidArgument for bytes that are no gzip. Not thread-safe; Finish once.
class Gunzip {
 public:
  explicit Gunzip(size_t limit);
  ~Gunzip();
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;

  Result<void> Add(std::string_view packed);
  Result<std::string> Finish() &&;

 private:
  struct State;
  Result<void> Step();

  const size_t limit_;
  std::unique_ptr<State> state_;
  std::string plain_;
};

}  // namespace sagebrush
