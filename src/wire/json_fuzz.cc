// libFuzzer: whatever the bytes, a request body is read or refused, and what was read is written and read back equal.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "gen/logs.h"
#include "gen/sagemaker.h"
#include "wire/json.h"

namespace {

template <class T>
void Check(std::string_view text) {
  auto value = sagebrush::wire::FromJson<T>(text);
  if (!value) return;
  auto again = sagebrush::wire::FromJson<T>(sagebrush::wire::ToJson(*value));
  CHECK(again && *again == *value);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  Check<sagebrush::gen::sagemaker::CreateTrainingJobRequest>(text);
  Check<sagebrush::gen::logs::PutLogEventsRequest>(text);
  return 0;
}
