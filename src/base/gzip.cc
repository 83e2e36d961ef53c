#include "base/gzip.h"

#include <zlib.h>

#include <algorithm>

#include "base/check.h"

namespace sagebrush {
namespace {

constexpr size_t kPieceBytes = 256 * 1024;

Error BadGzip(std::string_view what) {
  return InvalidArgument("The request body is not valid gzip, as Content-Encoding says it is: " + std::string(what) +
                         ".");
}

}  // namespace

struct Gunzip::State {
  z_stream stream{};
  bool member_ended = false;
};

Gunzip::Gunzip(size_t limit) : limit_(limit), state_(std::make_unique<State>()) {
  CHECK(inflateInit2(&state_->stream, 16 + MAX_WBITS) == Z_OK);  // 16: gzip alone
}

Gunzip::~Gunzip() { inflateEnd(&state_->stream); }

Result<void> Gunzip::Add(std::string_view packed) {
  z_stream& stream = state_->stream;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));  // zlib reads only
  stream.avail_in = static_cast<uInt>(packed.size());
  do {
    if (state_->member_ended) {
      if (stream.avail_in == 0) return {};
      inflateReset(&stream);
      state_->member_ended = false;
    }
    TRYV(Step());
  } while (stream.avail_in > 0 || stream.avail_out == 0);
  return {};
}

Result<std::string> Gunzip::Finish() && {
  if (!state_->member_ended) return Fail(BadGzip("it ends in the middle"));
  return std::move(plain_);
}

// Unpacks into at most one more piece; one byte beyond the limit is room enough to see that it is passed.
Result<void> Gunzip::Step() {
  z_stream& stream = state_->stream;
  size_t before = plain_.size();
  size_t room = std::min(kPieceBytes, limit_ + 1 - before);
  plain_.resize(before + room);
  stream.next_out = reinterpret_cast<Bytef*>(plain_.data() + before);
  stream.avail_out = static_cast<uInt>(room);
  int code = inflate(&stream, Z_NO_FLUSH);
  plain_.resize(before + room - stream.avail_out);
  if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) {
    return Fail(BadGzip(stream.msg == nullptr ? "damaged data" : stream.msg));
  }
  state_->member_ended = code == Z_STREAM_END;
  if (plain_.size() > limit_) {
    return Fail(Error(ErrorKind::kResourceExhausted,
                      "The request body is larger than " + std::to_string(limit_) + " bytes when it is unpacked."));
  }
  return {};
}

}  // namespace sagebrush
