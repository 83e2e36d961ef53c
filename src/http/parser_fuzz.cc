// Arbitrary bytes as a request, cut in two at an arbitrary place: never a crash, and never more consumed than offered.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "http/parser.h"
#include "http/target.h"

using sagebrush::http::MessageParser;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  size_t cut = bytes.size() * data[0] / 255, available = cut;
  MessageParser parser(data[0] % 2 == 0 ? MessageParser::Kind::kRequest : MessageParser::Kind::kResponse, 4096);
  while (true) {
    std::string_view offered = bytes.substr(0, available);
    auto used = parser.Feed(offered);
    if (!used) break;
    CHECK(*used <= offered.size());
    bytes.remove_prefix(*used);
    available -= *used;
    if (parser.head_done() && (!parser.head().chunked || parser.body_done())) break;
    if (*used > 0) continue;
    if (available == bytes.size()) break;
    available = bytes.size();
  }
  parser.TakeBody();
  if (parser.head_done()) static_cast<void>(sagebrush::http::ParseTarget(parser.head().target));
  return 0;
}
