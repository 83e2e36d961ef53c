// libFuzzer: no Authorization header, query or form is verified without the secret, or harms.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/text.h"
#include "wire/query.h"
#include "wire/sigv4.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sagebrush::wire;
  std::string text(reinterpret_cast<const char*>(data), size);
  SignableRequest request{"GET", "/" + text, {}, {{"Host", "h"}, {"X-Amz-Date", "20260131T123456Z"}}};
  if (auto form = ParseForm(text)) request.query = *form;
  auto lookup = [](std::string_view key) -> std::optional<Credentials> {
    return Credentials{std::string(key), "a secret that no input can hold the signature of", ""};
  };
  CHECK(!VerifySignature(request, DeclaredPayloadHash(request), true, lookup, 1769862896000));
  request.headers.emplace_back("Authorization", "AWS4-HMAC-SHA256 " + text);
  CHECK(!VerifySignature(request, "", false, lookup, 1769862896000));
  return 0;
}
