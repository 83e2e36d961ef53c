#include "wire/aws_chunked.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/text.h"

namespace sagebrush::wire {
namespace {

constexpr size_t kLongestLine = 4096;
constexpr size_t kMostTrailerBytes = 16 * 1024;
constexpr uint64_t kLargestChunk = uint64_t{5} << 30;  // one PUT of S3

}  // namespace

Error AwsChunkedDecoder::Broken(std::string message, std::string code) {
  state_ = State::kBroken;
  return InvalidArgument("The aws-chunked body is malformed: " + message, std::move(code));
}

Result<void> AwsChunkedDecoder::Decode(std::string_view input, std::string& output) {
  while (!input.empty()) {
    if (state_ == State::kBroken) return Fail(Broken("an earlier part of it was."));
    if (state_ == State::kDone) return Fail(Broken("there are bytes behind its last chunk."));
    if (state_ == State::kData) {
      size_t count = static_cast<size_t>(std::min<uint64_t>(remaining_, input.size()));
      output.append(input.substr(0, count));
      input.remove_prefix(count);
      remaining_ -= count;
      decoded_bytes_ += count;
      if (remaining_ == 0) state_ = State::kDataEnd;
      continue;
    }
    size_t end = input.find('\n');
    std::string_view taken = input.substr(0, end);
    if (line_.size() + taken.size() > kLongestLine) return Fail(Broken("a line of its framing is too long."));
    line_.append(taken);
    if (end == input.npos) return {};
    input.remove_prefix(end + 1);
    if (!line_.ends_with('\r')) return Fail(Broken("a line of its framing does not end in CR LF."));
    line_.pop_back();
    std::string line = std::exchange(line_, {});
    TRYV(TakeLine(line));
  }
  return {};
}

Result<void> AwsChunkedDecoder::TakeLine(std::string_view line) {
  if (state_ == State::kSize) return TakeSize(line);
  if (state_ == State::kTrailer) return TakeTrailer(line);
  if (!line.empty()) return Fail(Broken("a chunk is longer than its stated size."));
  state_ = State::kSize;
  return {};
}

Result<void> AwsChunkedDecoder::TakeSize(std::string_view line) {
  std::string_view digits = line.substr(0, line.find(';'));
  uint64_t size = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return Fail(Broken("a chunk size is no hexadecimal number.", "InvalidChunkSizeError"));
  }
  if (size > kLargestChunk) return Fail(Broken("a chunk is larger than 5 GiB.", "InvalidChunkSizeError"));
  remaining_ = size;
  state_ = size == 0 ? State::kTrailer : State::kData;
  return {};
}

Result<void> AwsChunkedDecoder::TakeTrailer(std::string_view line) {
  if (line.empty()) {
    state_ = State::kDone;
    return {};
  }
  trailer_bytes_ += line.size();
  if (trailer_bytes_ > kMostTrailerBytes) return Fail(Broken("its trailer is too long."));
  size_t colon = line.find(':');
  if (colon == line.npos || colon == 0) return Fail(Broken("a line of its trailer is not 'name:value'."));
  std::string name = ToLower(Trim(line.substr(0, colon)));
  if (!trailers_.emplace(name, Trim(line.substr(colon + 1))).second) {
    return Fail(Broken("the trailer '" + ReplaceInvalidUtf8(name) + "' comes twice."));
  }
  return {};
}

Result<void> AwsChunkedDecoder::Finish() const {
  if (state_ == State::kDone) return {};
  return Fail(InvalidArgument("The aws-chunked body ended before its last chunk and trailer.", "IncompleteBody"));
}

}  // namespace sagebrush::wire
