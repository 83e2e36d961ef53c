#include "base/gzip.h"

#include <gtest/gtest.h>
#include <zlib.h>

namespace sagebrush {
namespace {

std::string Gzip(std::string_view text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  std::string copy(text);
  stream.next_in = reinterpret_cast<Bytef*>(copy.data());
  stream.avail_in = static_cast<uInt>(copy.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Result<std::string> Unpack(std::string_view packed, size_t limit, size_t piece) {
  Gunzip gunzip(limit);
  for (size_t at = 0; at < packed.size(); at += piece) TRYV(gunzip.Add(packed.substr(at, piece)));
  return std::move(gunzip).Finish();
}

TEST(Gunzip, UnpacksMembersInPieces) {
  std::string text(1'000'000, 'x');
  std::string packed = Gzip(text) + Gzip("more");
  for (size_t piece : {size_t{1}, size_t{7}, packed.size()}) {
    Result<std::string> plain = Unpack(packed, 2'000'000, piece);
    ASSERT_TRUE(plain);
    EXPECT_EQ(*plain, text + "more");
  }
}

TEST(Gunzip, RefusesWhatIsTooLargeDamagedOrCut) {
  std::string packed = Gzip(std::string(1'000'000, 'x'));
  EXPECT_EQ(Unpack(packed, 999'999, packed.size()).error().kind, ErrorKind::kResourceExhausted);
  EXPECT_TRUE(Unpack(packed, 1'000'000, packed.size()));
  EXPECT_EQ(Unpack(packed.substr(0, packed.size() - 9), 2'000'000, 100).error().kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(Unpack("plain text", 100, 10).error().kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(Unpack("", 100, 10).error().kind, ErrorKind::kInvalidArgument);
}

}  // namespace
}  // namespace sagebrush
