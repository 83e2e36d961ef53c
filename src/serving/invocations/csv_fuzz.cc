// Arbitrary bytes as a text/csv body: never a crash, and a table is as wide as its rows say.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "serving/invocations/csv.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto table = sagebrush::serving::ParseCsv({reinterpret_cast<const char*>(data), size});
  if (!table) return 0;
  CHECK(table->columns > 0 && table->fields.size() == table->rows() * table->columns);
  size_t bytes = 0;
  for (const auto& field : table->fields) bytes += field.text.size();
  CHECK(bytes <= size);
  return 0;
}
