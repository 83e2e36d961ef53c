#include "base/random.h"

#include <sys/random.h>

#include "base/check.h"
#include "base/text.h"

namespace sagebrush {

std::string RandomBytes(size_t count) {
  std::string bytes(count, '\0');
  for (size_t done = 0; done < count;) {
    ssize_t got = getrandom(bytes.data() + done, count - done, 0);
    CHECK(got > 0);
    done += static_cast<size_t>(got);
  }
  return bytes;
}

std::string RandomHex(size_t count) { return HexEncode(RandomBytes(count)); }

// Every request gets one of these, so their bytes are fetched from the kernel for many at a time. They name things and
// are no secrets.
std::string RandomUuid() {
  constexpr size_t kBytes = 16, kAtOnce = 64;
  thread_local std::string pool;
  if (pool.empty()) pool = RandomBytes(kBytes * kAtOnce);
  std::string bytes = pool.substr(pool.size() - kBytes);
  pool.resize(pool.size() - kBytes);
  bytes[6] = static_cast<char>((bytes[6] & 0x0F) | 0x40);
  bytes[8] = static_cast<char>((bytes[8] & 0x3F) | 0x80);
  std::string hex = HexEncode(bytes);
  for (size_t at : {8, 13, 18, 23}) hex.insert(at, "-");
  return hex;
}

}  // namespace sagebrush
