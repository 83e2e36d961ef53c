#include "serving/invocations/csv.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/text.h"
#include "serving/invocations/model_input.h"

namespace sagebrush::serving {
namespace {

class CsvParser {
 public:
  explicit CsvParser(std::string_view body) : body_(body) {
    if (body_.starts_with("\xEF\xBB\xBF")) at_ = 3;
  }

  Result<CsvTable> Parse() {
    while (SkipEmptyLines()) TRYV(Row());
    if (table_.fields.empty()) return Fail(InvalidArgument("The text/csv body has no rows"));
    return std::move(table_);
  }

 private:
  bool AtLineEnd() const { return at_ >= body_.size() || body_[at_] == '\n' || body_[at_] == '\r'; }

  // False at the end of the body.
  bool SkipEmptyLines() {
    while (at_ < body_.size()) {
      size_t next = body_.find_first_not_of(" \t", at_);
      if (next == std::string_view::npos) return false;
      if (body_[next] != '\n' && body_[next] != '\r') return true;
      at_ = next + 1;
    }
    return false;
  }

  Result<void> Row() {
    ++row_;
    size_t before = table_.fields.size();
    while (true) {
      TRYV(Field());
      if (AtLineEnd()) break;
      ++at_;  // the comma
    }
    size_t columns = table_.fields.size() - before;
    if (table_.columns == 0) table_.columns = columns;
    if (columns == table_.columns) return {};
    return Bad("has " + std::to_string(columns) + " fields, the first row " + std::to_string(table_.columns));
  }

  Result<void> Field() {
    if (at_ < body_.size() && body_[at_] == '"') return QuotedField();
    size_t end = std::min(body_.find_first_of(",\r\n", at_), body_.size());
    table_.fields.push_back({body_.substr(at_, end - at_), false});
    at_ = end;
    return {};
  }

  Result<void> QuotedField() {
    size_t begin = ++at_;
    std::string* unescaped = nullptr;
    while (true) {
      size_t quote = body_.find('"', at_);
      if (quote == std::string_view::npos) return Bad("has a quote that does not close");
      bool doubled = quote + 1 < body_.size() && body_[quote + 1] == '"';
      if (doubled && unescaped == nullptr) unescaped = &table_.unescaped.emplace_back();
      if (unescaped != nullptr) unescaped->append(body_, begin, quote - begin + (doubled ? 1 : 0));
      at_ = quote + (doubled ? 2 : 1);
      if (doubled) {
        begin = at_;
        continue;
      }
      table_.fields.push_back(
          {unescaped != nullptr ? std::string_view(*unescaped) : body_.substr(begin, quote - begin), true});
      break;
    }
    if (AtLineEnd() || body_[at_] == ',') return {};
    return Bad("has text behind a closing quote: double the quotes within a quoted field");
  }

  Fail Bad(const std::string& what) const {
    return Fail(InvalidArgument("text/csv: row " + std::to_string(row_) + " " + what));
  }

  std::string_view body_;
  size_t at_ = 0, row_ = 0;
  CsvTable table_;
};

template <class T>
std::optional<T> ParseNumber(std::string_view text) {
  text = Trim(text);
  if constexpr (std::is_same_v<T, bool>) {
    if (text == "1" || EqualsIgnoreCase(text, "true")) return true;
    if (text == "0" || EqualsIgnoreCase(text, "false")) return false;
    return std::nullopt;
  } else {
    T value{};
    auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
  }
}

using Columns = std::vector<size_t>;

Result<Tensor> StringColumns(const CsvTable& table, size_t first_row, const Columns& columns, Shape shape) {
  std::vector<std::string> elements;
  elements.reserve((table.rows() - first_row) * columns.size());
  for (size_t row = first_row; row < table.rows(); ++row) {
    for (size_t column : columns) elements.emplace_back(table.fields[row * table.columns + column].text);
  }
  return Tensor::Strings(std::move(shape), std::move(elements));
}

template <class T>
Result<void> ReadNumbers(const CsvTable& table, size_t first_row, const Columns& columns, Tensor& tensor) {
  T* next = tensor.mutable_values<T>().data();
  for (size_t row = first_row; row < table.rows(); ++row) {
    for (size_t column : columns) {
      std::string_view text = table.fields[row * table.columns + column].text;
      std::optional<T> value = ParseNumber<T>(text);
      if (!value) {
        return Fail(InvalidArgument("text/csv: row " + std::to_string(row + 1) + ", column " +
                                    std::to_string(column + 1) + " holds \"" + std::string(text.substr(0, 100)) +
                                    "\", which is not of type " + std::string(TypeName(tensor.type()))));
      }
      *next++ = *value;
    }
  }
  return {};
}

Result<Tensor> ToTensor(const CsvTable& table, size_t first_row, const Columns& columns, const std::string& name,
                        const TensorInfo& input) {
  Shape natural{static_cast<int64_t>(table.rows() - first_row)};
  if (columns.size() > 1) natural.push_back(static_cast<int64_t>(columns.size()));
  Shape shape = FitShape(natural, input);
  if (input.type == DataType::kString) return StringColumns(table, first_row, columns, std::move(shape));
  Result<void> read;
  Tensor tensor;
  bool known = WithNumber(input.type, [&]<class T>(T) {
    tensor = Tensor::Numeric(input.type, shape);
    read = ReadNumbers<T>(table, first_row, columns, tensor);
  });
  if (!known) {
    return Fail(InvalidArgument("text/csv cannot hold the model's input " + name + ", which is of type " +
                                std::string(TypeName(input.type))));
  }
  TRYV(std::move(read));
  return tensor;
}

std::string InputNames(const Signature& signature) {
  std::string names;
  for (const auto& [name, input] : signature.inputs) names += (names.empty() ? "" : ", ") + name;
  return names;
}

bool HasNumber(const CsvTable& table) {
  return std::ranges::any_of(std::span(table.fields).first(table.columns), [](const CsvField& field) {
    return ParseNumber<double>(field.text) || ParseNumber<bool>(field.text);
  });
}

// The columns of each input by the header row.
Result<std::vector<Columns>> ColumnsByHeader(const CsvTable& table, const Signature& signature) {
  std::vector<Columns> columns(signature.inputs.size());
  for (size_t column = 0; column < table.columns; ++column) {
    std::string_view name = Trim(table.fields[column].text);
    auto found = signature.inputs.find(name);
    if (found == signature.inputs.end()) {
      return Fail(InvalidArgument("text/csv: the model has the inputs " + InputNames(signature) +
                                  ", so the first row must name one of them above each column; column " +
                                  std::to_string(column + 1) + " has \"" + std::string(name.substr(0, 100)) + "\""));
    }
    columns[static_cast<size_t>(std::distance(signature.inputs.begin(), found))].push_back(column);
  }
  auto input = signature.inputs.begin();
  for (const Columns& found : columns) {
    if (found.empty()) return Fail(InvalidArgument("text/csv: no column is named " + input->first));
    ++input;
  }
  return columns;
}

}  // namespace

Result<CsvTable> ParseCsv(std::string_view body) { return CsvParser(body).Parse(); }

Result<DecodedPredict> DecodeCsv(std::string_view body, CsvHeader header, const Servable& servable) {
  TRY(CsvTable table, ParseCsv(body));
  TRY(ChosenSignature chosen, ChooseSignature(servable));
  const Signature& signature = *chosen.signature;
  bool single = signature.inputs.size() == 1;
  if (!single && header == CsvHeader::kAbsent) {
    return Fail(InvalidArgument("text/csv: the model has the inputs " + InputNames(signature) +
                                ": send a header row that names one of them above each column"));
  }
  bool has_header = header == CsvHeader::kPresent || !single;
  if (header == CsvHeader::kUnstated && single && signature.inputs.begin()->second.type != DataType::kString) {
    has_header = !HasNumber(table);
  }
  std::vector<Columns> columns(1, Columns(table.columns));
  if (single) {
    for (size_t column = 0; column < table.columns; ++column) columns[0][column] = column;
  } else {
    TRY(columns, ColumnsByHeader(table, signature));
  }
  size_t first_row = has_header ? 1 : 0;
  if (table.rows() == first_row) return Fail(InvalidArgument("text/csv: the body has a header row and no other"));
  DecodedPredict decoded{.signature_name = chosen.name, .inputs = {}};
  auto input = signature.inputs.begin();
  for (const Columns& own : columns) {
    TRY(Tensor tensor, ToTensor(table, first_row, own, input->first, input->second));
    decoded.inputs.push_back(std::move(tensor));
    ++input;
  }
  return decoded;
}

}  // namespace sagebrush::serving
