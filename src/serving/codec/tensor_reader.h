#pragma once

#include <boost/container/small_vector.hpp>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "serving/codec/json_scanner.h"
#include "serving/tensor/tensor.h"

namespace sagebrush::serving {

// Reads JSON values of one shape, one behind the other, into one growing buffer. The shape is that of the first value;
// a value of another, a ragged one, or one with an element that the type cannot hold is refused, without a reason.
class TensorReader {
 public:
  // `text_bytes`: how long the values are all in all, about.
  TensorReader(DataType type, size_t text_bytes);

  bool Read(JsonScanner& scanner);
  // What has been read: of `rows` values, or the only one. Once.
  Tensor Take(std::optional<int64_t> rows) &&;

 private:
  bool Value(JsonScanner& scanner, size_t level);
  bool List(JsonScanner& scanner, size_t level);
  bool Elements(JsonScanner& scanner, size_t level, int64_t& count);
  bool Row(JsonScanner& scanner, int64_t& count);
  template <class T>
  bool NumberRow(JsonScanner& scanner, int64_t& count);
  bool Scalar(JsonScanner& scanner);
  bool Text(JsonScanner& scanner);
  bool Bool(JsonScanner& scanner);
  template <class T>
  void Append(T value);
  void Grow();

  struct FreeMemory {
    void operator()(std::byte* memory) const { std::free(memory); }
  };

  DataType type_;
  std::optional<size_t> rank_;
  boost::container::small_vector<int64_t, 8> sizes_;  // -1: not known yet
  std::unique_ptr<std::byte, FreeMemory> buffer_;
  size_t used_ = 0, capacity_ = 0;  // bytes
  std::vector<std::string> strings_;
};

// {"b64": "…"}, and nothing else, undone and appended to `strings`. False, with the scanner anywhere, for anything
// else.
bool ReadBase64Object(JsonScanner& scanner, std::vector<std::string>& strings);

}  // namespace sagebrush::serving
