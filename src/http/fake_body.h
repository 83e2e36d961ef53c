#pragma once
// A body without a connection, for the tests of those who read one.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "http/message.h"

namespace sagebrush::http::testing {

// Comes in pieces of a few bytes.
class FakeBody final : public BodyReader {
 public:
  struct Options {
    size_t piece = 1000;
    bool cut_short = false;     // ends with the error that the server gives for a lost connection
    bool states_length = true;  // false: as a chunked body
  };
  explicit FakeBody(std::string data) : FakeBody(std::move(data), Options{}) {}
  FakeBody(std::string data, Options options) : data_(std::move(data)), options_(options) {}

  asio::awaitable<Result<std::string>> Read(size_t limit) override {
    if (at_ == data_.size() && options_.cut_short) {
      co_return Fail(InvalidArgument("The body ended before its stated length.", "IncompleteBody"));
    }
    std::string piece = data_.substr(at_, std::min(limit, options_.piece));
    at_ += piece.size();
    co_return piece;
  }
  std::optional<uint64_t> length() const override {
    return options_.states_length ? std::optional<uint64_t>(data_.size()) : std::nullopt;
  }

 private:
  const std::string data_;
  const Options options_;
  size_t at_ = 0;
};

}  // namespace sagebrush::http::testing
