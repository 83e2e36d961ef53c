// Arbitrary bytes as a NumPy array file: never a crash, and what is read survives being written and read again.
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "serving/invocations/npy.h"

using sagebrush::serving::EncodeNpy;
using sagebrush::serving::ParseNpy;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto tensor = ParseNpy({reinterpret_cast<const char*>(data), size});
  if (!tensor) return 0;
  auto encoded = EncodeNpy(*tensor);
  CHECK(encoded);
  auto again = ParseNpy(*encoded);
  CHECK(again && again->shape() == tensor->shape() && again->type() == tensor->type());
  CHECK(tensor->byte_size() == 0 || std::memcmp(again->data(), tensor->data(), tensor->byte_size()) == 0);
  return 0;
}
