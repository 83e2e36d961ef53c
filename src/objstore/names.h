#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace sagebrush::objstore {

// S3's rules for general purpose buckets; InvalidBucketName.
Result<void> ValidateBucketName(std::string_view name);
// 1 to 1024 bytes of UTF-8 without NUL; KeyTooLongError, InvalidURI.
Result<void> ValidateKey(std::string_view key);
// The smallest byte string greater than every string that begins with `prefix`; "" when there is none (empty prefix).
std::string PrefixEnd(std::string prefix);
// An ETag without its quotes and without a leading W/.
std::string_view BareEtag(std::string_view etag);

}  // namespace sagebrush::objstore
