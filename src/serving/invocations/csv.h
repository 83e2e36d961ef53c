#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "serving/rest/rest_inference.h"

namespace sagebrush::serving {

struct CsvField {
  std::string_view text;  // without its quotes
  bool quoted = false;
};

// The records of a text/csv body (RFC 4180: quoted fields may hold commas, line ends and doubled quotes), all of the
// same number of fields, one behind the other. Lines end with CR LF, LF or CR; empty ones are passed over.
struct CsvTable {
  size_t columns = 0;
  std::vector<CsvField> fields;
  std::deque<std::string> unescaped;  // texts that differ from the body's bytes; the other fields point into the body

  size_t rows() const { return columns == 0 ? 0 : fields.size() / columns; }
};

// kInvalidArgument, with the row, for a quote that does not close, text behind a closing quote, rows of different
// length, and a body without rows.
Result<CsvTable> ParseCsv(std::string_view body);

// The parameter "header" of text/csv (RFC 4180), where the client states it.
enum class CsvHeader { kUnstated, kPresent, kAbsent };

// A text/csv body as the inputs of the model's default signature. A model with one input takes every column: a row is
// an instance, one column a bare value, several a list. A model with more inputs needs a header row with the input's
// name above each column (columns of one name are the elements of its list). Numbers are read as the input's type;
// a string input takes every field as text. Unless the client states it, the first row is a header where the model has
// several inputs, and where its input is numeric and no field of the row is a number. kInvalidArgument with row and
// column.
Result<DecodedPredict> DecodeCsv(std::string_view body, CsvHeader header, const Servable& servable);

}  // namespace sagebrush::serving
