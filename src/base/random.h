#pragma once

#include <string>

namespace sagebrush {

// Cryptographic random bytes from the kernel.
std::string RandomBytes(size_t count);
// `count` random bytes in lower-case hex (2 × count characters).
std::string RandomHex(size_t count);
std::string RandomUuid();  // version 4, as in x-amzn-RequestId

}  // namespace sagebrush
