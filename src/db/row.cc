#include "base/check.h"
#include "db/store.h"

namespace sagebrush::db {
namespace {

template <class T>
const T& Get(const Value& value) {
  CHECK(std::holds_alternative<T>(value));
  return std::get<T>(value);
}

}  // namespace

int64_t Row::Int(size_t column) const { return Get<int64_t>(columns_.at(column)); }
double Row::Real(size_t column) const { return Get<double>(columns_.at(column)); }
const std::string& Row::Text(size_t column) const { return Get<std::string>(columns_.at(column)); }
const std::string& Row::Bytes(size_t column) const { return Get<Blob>(columns_.at(column)).bytes; }
std::string Row::TextOr(size_t column, std::string_view fallback) const {
  return IsNull(column) ? std::string(fallback) : Text(column);
}
int64_t Row::IntOr(size_t column, int64_t fallback) const { return IsNull(column) ? fallback : Int(column); }

}  // namespace sagebrush::db
