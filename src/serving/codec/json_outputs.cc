#include "serving/codec/json_outputs.h"

#include <fmt/format.h>

#include "base/text.h"
#include "serving/codec/json_print.h"

namespace sagebrush::serving {
namespace {

constexpr std::string_view kBytesSuffix = "_bytes";
constexpr size_t kBytesOfElement = 12;  // printed, for the first guess

Error Unprintable(DataType type) {
  return InvalidArgument(fmt::format("Failed to write JSON value for tensor type: {}", TypeName(type)));
}

bool IsPrintable(DataType type) {
  switch (type) {
    case DataType::kFloat:
    case DataType::kDouble:
    case DataType::kInt8:
    case DataType::kUint8:
    case DataType::kInt16:
    case DataType::kInt32:
    case DataType::kInt64:
    case DataType::kUint32:
    case DataType::kUint64:
    case DataType::kBool:
    case DataType::kString:
      return true;
    default:
      return false;
  }
}

// Prints the elements of a tensor one behind the other.
class ElementPrinter {
 public:
  ElementPrinter(PrettyWriter& writer, std::string_view name, const Tensor& tensor)
      : writer_(&writer), tensor_(&tensor), as_bytes_(name.ends_with(kBytesSuffix)) {}

  // All that lies below dimension `level` at this place.
  void Print(size_t level) {
    const Shape& shape = tensor_->shape();
    if (level >= shape.size()) return Elements(1);
    writer_->StartArray();
    if (level + 1 == shape.size()) {
      Elements(shape[level]);
    } else {
      for (int64_t index = 0; index < shape[level]; ++index) Print(level + 1);
    }
    writer_->EndArray();
  }

 private:
  void Elements(int64_t count) {
    switch (tensor_->type()) {
      case DataType::kFloat:
        return Numbers<float>(count);
      case DataType::kDouble:
        return Numbers<double>(count);
      case DataType::kInt8:
        return Integers<int8_t>(count);
      case DataType::kUint8:
        return Integers<uint8_t>(count);
      case DataType::kInt16:
        return Integers<int16_t>(count);
      case DataType::kInt32:
        return Integers<int32_t>(count);
      case DataType::kInt64:
        return Integers<int64_t>(count);
      case DataType::kUint32:
        return Integers<uint32_t>(count);
      case DataType::kUint64:
        return Integers<uint64_t>(count);
      case DataType::kBool:
        for (uint8_t value : Next<uint8_t>(count)) writer_->Raw(value != 0 ? "true" : "false");
        return;
      default:
        return Texts(count);
    }
  }

  template <class T>
  std::span<const T> Next(int64_t count) {
    std::span<const T> next = tensor_->values<T>().subspan(at_, static_cast<size_t>(count));
    at_ += next.size();
    return next;
  }

  template <class T>
  void Numbers(int64_t count) {
    for (T value : Next<T>(count)) writer_->Number(value);
  }

  template <class T>
  void Integers(int64_t count) {
    for (T value : Next<T>(count)) writer_->Integer(value);
  }

  void Texts(int64_t count) {
    for (const std::string& text : tensor_->strings().subspan(at_, static_cast<size_t>(count))) {
      if (as_bytes_) {
        writer_->StartObject();
        writer_->Key("b64");
        writer_->String(Base64Encode(text));
        writer_->EndObject();
      } else {
        writer_->String(text);
      }
    }
    at_ += static_cast<size_t>(count);
  }

  PrettyWriter* writer_;
  const Tensor* tensor_;
  bool as_bytes_;
  size_t at_ = 0;
};

using NamedPrinters = std::vector<std::pair<std::string_view, ElementPrinter>>;

// The rows of all outputs; an error when they differ in number.
Result<int64_t> RowCount(const Signature& signature, std::span<const Tensor> outputs) {
  int64_t rows = -1;
  size_t index = 0;
  for (const auto& [name, info] : signature.outputs) {
    const Shape& shape = outputs[index++].shape();
    if (shape.empty()) return Fail(InvalidArgument(fmt::format("Tensor name: {} has no shape information ", name)));
    if (rows >= 0 && rows != shape[0]) {
      return Fail(InvalidArgument(
          fmt::format("Tensor name: {} has inconsistent batch size: {} expecting: {}", name, shape[0], rows)));
    }
    rows = shape[0];
  }
  return rows;
}

void PrintRows(PrettyWriter& writer, NamedPrinters& printers, int64_t rows) {
  writer.Key("predictions");
  writer.StartArray();
  for (int64_t row = 0; row < rows; ++row) {
    if (printers.size() > 1) writer.StartObject();
    writer.SingleLine(true);
    for (auto& [name, printer] : printers) {
      if (printers.size() > 1) writer.Key(name);
      printer.Print(1);
    }
    writer.SingleLine(false);
    if (printers.size() > 1) writer.EndObject();
  }
  writer.EndArray();
}

void PrintColumns(PrettyWriter& writer, NamedPrinters& printers) {
  writer.Key("outputs");
  if (printers.size() > 1) writer.StartObject();
  for (auto& [name, printer] : printers) {
    if (printers.size() > 1) writer.Key(name);
    printer.Print(0);
  }
  if (printers.size() > 1) writer.EndObject();
}

}  // namespace

Result<std::string> PrintOutputs(const Signature& signature, std::span<const Tensor> outputs, OutputForm form) {
  if (outputs.empty()) return Fail(InvalidArgument("Cannot convert empty tensor map to JSON"));
  PrettyWriter writer;
  NamedPrinters printers;
  size_t elements = 0;
  for (const auto& [name, info] : signature.outputs) {
    const Tensor& tensor = outputs[printers.size()];
    if (!IsPrintable(tensor.type())) return Fail(Unprintable(tensor.type()));
    elements += static_cast<size_t>(tensor.element_count());
    printers.emplace_back(name, ElementPrinter(writer, name, tensor));
  }
  writer.Reserve(64 + elements * kBytesOfElement);
  writer.StartObject();
  if (form == OutputForm::kRow) {
    TRY(int64_t rows, RowCount(signature, outputs));
    PrintRows(writer, printers, rows);
  } else {
    PrintColumns(writer, printers);
  }
  writer.EndObject();
  return writer.Take();
}

std::string PrintClassifications(const ClassificationTable& table) {
  PrettyWriter writer;
  writer.StartObject();
  writer.Key("results");
  writer.StartArray();
  for (size_t example = 0; example < table.examples; ++example) {
    writer.SingleLine(true);
    writer.StartArray();
    for (size_t at = example * table.columns; at < (example + 1) * table.columns; ++at) {
      writer.StartArray();
      writer.String(table.classes ? std::string_view(table.classes->strings()[at]) : std::string_view());
      writer.Number(table.scores ? table.scores->values<float>()[at] : 0.0F);
      writer.EndArray();
    }
    writer.EndArray();
    writer.SingleLine(false);
  }
  writer.EndArray();
  writer.EndObject();
  return writer.Take();
}

std::string PrintRegressions(std::span<const float> values) {
  PrettyWriter writer;
  writer.StartObject();
  writer.Key("results");
  writer.SingleLine(true);
  writer.StartArray();
  for (float value : values) writer.Number(value);
  writer.EndArray();
  writer.EndObject();
  return writer.Take();
}

std::string PrintError(std::string_view message) {
  PrettyWriter writer;
  writer.StartObject();
  writer.Key("error");
  writer.String(message);
  writer.EndObject();
  return writer.Take();
}

}  // namespace sagebrush::serving
