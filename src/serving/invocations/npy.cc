#include "serving/invocations/npy.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "base/text.h"
#include "serving/invocations/model_input.h"

namespace sagebrush::serving {
namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr size_t kMostDimensions = 32;  // as NumPy's own

struct NpyType {
  std::string_view code;  // of the header's descr, behind the byte order
  DataType type;
};
constexpr std::array<NpyType, 14> kTypes{{
    {"f4", DataType::kFloat},
    {"f8", DataType::kDouble},
    {"f2", DataType::kHalf},
    {"i1", DataType::kInt8},
    {"i2", DataType::kInt16},
    {"i4", DataType::kInt32},
    {"i8", DataType::kInt64},
    {"u1", DataType::kUint8},
    {"u2", DataType::kUint16},
    {"u4", DataType::kUint32},
    {"u8", DataType::kUint64},
    {"b1", DataType::kBool},
    {"c8", DataType::kComplex64},
    {"c16", DataType::kComplex128},
}};

Fail Bad(const std::string& what) { return Fail(InvalidArgument("application/x-npy: " + what)); }

struct Header {
  std::string descr;
  bool fortran_order = false;
  Shape shape;
};

// The header is the text of a Python dictionary with three known keys.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : text_(text) {}

  Result<Header> Read() {
    if (!Take('{')) return Broken();
    while (!Take('}')) {
      std::optional<std::string> key = String();
      if (!key || !Take(':')) return Broken();
      TRYV(Value(*key));
      if (Take(',')) continue;
      if (!Take('}')) return Broken();
      break;
    }
    if (seen_ != 7) return Bad("its header lacks one of descr, fortran_order and shape");
    return std::move(header_);
  }

 private:
  Result<void> Value(const std::string& key) {
    if (key == "descr") {
      if (Peek() == '[') return Bad("arrays of records are not taken: send one plain array");
      std::optional<std::string> descr = String();
      if (!descr) return Broken();
      header_.descr = *std::move(descr);
      seen_ |= 1;
    } else if (key == "fortran_order") {
      bool yes = Word("True");
      if (!yes && !Word("False")) return Broken();
      header_.fortran_order = yes;
      seen_ |= 2;
    } else if (key == "shape") {
      TRYV(ReadShape());
      seen_ |= 4;
    } else {
      return Bad("its header has the unknown key " + key.substr(0, 100));
    }
    return {};
  }

  Result<void> ReadShape() {
    if (!Take('(')) return Broken();
    header_.shape.clear();
    while (!Take(')')) {
      Peek();
      size_t digits = std::min(text_.find_first_not_of("0123456789"), text_.size());
      std::optional<int64_t> size = ParseInt(text_.substr(0, digits));
      if (!size || header_.shape.size() == kMostDimensions) return Broken();
      text_.remove_prefix(digits);
      header_.shape.push_back(*size);
      if (!Take(',') && Peek() != ')') return Broken();
    }
    return {};
  }

  char Peek() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n' || text_[0] == '\t')) text_.remove_prefix(1);
    return text_.empty() ? '\0' : text_[0];
  }
  bool Take(char wanted) {
    if (Peek() != wanted) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool Word(std::string_view wanted) {
    Peek();
    if (!text_.starts_with(wanted)) return false;
    text_.remove_prefix(wanted.size());
    return true;
  }
  std::optional<std::string> String() {
    char quote = Peek();
    if (quote != '\'' && quote != '"') return std::nullopt;
    size_t end = text_.find(quote, 1);
    if (end == std::string_view::npos) return std::nullopt;
    std::string value(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    return value;
  }
  static Fail Broken() { return Bad("its header is damaged"); }

  std::string_view text_;
  Header header_;
  unsigned seen_ = 0;
};

// The header's text; `body` is left at the elements.
Result<std::string_view> TakeHeader(std::string_view& body) {
  if (!body.starts_with(kMagic) || body.size() < 10) return Bad("the body is no NumPy array file (numpy.save)");
  auto byte = [&](size_t at) { return static_cast<size_t>(static_cast<unsigned char>(body[at])); };
  size_t version = byte(6), at = version == 1 ? 10 : 12;
  if (version < 1 || version > 3 || body.size() < at) return Bad("its format version is not 1, 2 or 3");
  size_t length = byte(8) | byte(9) << 8;
  if (version > 1) length |= byte(10) << 16 | byte(11) << 24;
  if (body.size() - at < length) return Bad("it is cut short within its header");
  std::string_view text = body.substr(at, length);
  body.remove_prefix(at + length);
  return text;
}

// For each element in row-major order, its place in the file: function(to, from).
template <class Function>
void ForEachElement(const Header& header, int64_t count, Function function) {
  if (!header.fortran_order || header.shape.size() < 2) {
    for (int64_t index = 0; index < count; ++index) function(index, index);
    return;
  }
  Shape strides(header.shape.size(), 1), position(header.shape.size(), 0);
  for (size_t axis = 1; axis < strides.size(); ++axis) strides[axis] = strides[axis - 1] * header.shape[axis - 1];
  int64_t from = 0;
  for (int64_t to = 0; to < count; ++to) {
    function(to, from);
    for (size_t axis = strides.size(); axis-- > 0;) {
      from += strides[axis];
      if (++position[axis] < header.shape[axis]) break;
      from -= strides[axis] * header.shape[axis];
      position[axis] = 0;
    }
  }
}

void AppendUtf8(std::string& text, uint32_t point) {
  if (point < 0x80) {
    text += static_cast<char>(point);
  } else if (point < 0x800) {
    text += static_cast<char>(0xC0 | point >> 6);
    text += static_cast<char>(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    text += static_cast<char>(0xE0 | point >> 12);
    text += static_cast<char>(0x80 | (point >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (point & 0x3F));
  } else {
    text += static_cast<char>(0xF0 | (point >> 18 & 0x07));
    text += static_cast<char>(0x80 | (point >> 12 & 0x3F));
    text += static_cast<char>(0x80 | (point >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (point & 0x3F));
  }
}

// One element of |S or <U, without the zeros that fill it up.
std::string StringElement(std::string_view bytes, bool unicode, bool swapped) {
  std::string text;
  if (!unicode) {
    text = bytes;
  } else {
    for (size_t at = 0; at + 4 <= bytes.size(); at += 4) {
      uint32_t point = 0;
      std::memcpy(&point, bytes.data() + at, 4);
      AppendUtf8(text, swapped ? __builtin_bswap32(point) : point);
    }
  }
  size_t end = text.find_last_not_of('\0');
  text.resize(end == std::string::npos ? 0 : end + 1);
  return text;
}

// The bytes of the elements, which must be there exactly.
Result<int64_t> CheckSize(const Header& header, size_t element_bytes, size_t have) {
  std::optional<int64_t> count = ElementCount(header.shape);
  size_t bytes = 0;
  if (!count || __builtin_mul_overflow(static_cast<size_t>(*count), element_bytes, &bytes)) {
    return Bad("its shape " + ShapeText(header.shape) + " is too large");
  }
  if (bytes != have) {
    return Bad("its header says " + std::to_string(bytes) + " bytes of elements, and there are " +
               std::to_string(have));
  }
  return *count;
}

Result<Tensor> StringArray(const Header& header, char kind, bool swapped, std::string_view bytes) {
  std::optional<int64_t> length = ParseInt(std::string_view(header.descr).substr(2));
  size_t width = kind == 'U' ? 4 : 1, element_bytes = 0;
  if (!length || __builtin_mul_overflow(static_cast<size_t>(*length), width, &element_bytes)) {
    return Bad("its type " + header.descr + " is unknown");
  }
  // Elements of no bytes would let a small body ask for any number of them.
  if (element_bytes == 0 && ElementCount(header.shape).value_or(1) > 0) return Bad("its strings have no room");
  TRY(int64_t count, CheckSize(header, element_bytes, bytes.size()));
  std::vector<std::string> elements(static_cast<size_t>(count));
  ForEachElement(header, count, [&](int64_t to, int64_t from) {
    std::string_view element = bytes.substr(static_cast<size_t>(from) * element_bytes, element_bytes);
    elements[static_cast<size_t>(to)] = StringElement(element, kind == 'U', swapped);
  });
  return Tensor::Strings(header.shape, std::move(elements));
}

void CopyElements(const Header& header, std::string_view bytes, size_t element_bytes, Tensor& tensor) {
  char* out = reinterpret_cast<char*>(tensor.mutable_data());
  if (!header.fortran_order || header.shape.size() < 2) {
    if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
    return;
  }
  ForEachElement(header, tensor.element_count(), [&](int64_t to, int64_t from) {
    std::memcpy(out + static_cast<size_t>(to) * element_bytes, bytes.data() + static_cast<size_t>(from) * element_bytes,
                element_bytes);
  });
}

void SwapBytes(Tensor& tensor) {
  // A complex number is two numbers.
  bool complex = tensor.type() == DataType::kComplex64 || tensor.type() == DataType::kComplex128;
  size_t width = ElementBytes(tensor.type()) / (complex ? 2 : 1);
  std::byte* data = tensor.mutable_data();
  for (size_t at = 0; at < tensor.byte_size(); at += width) std::reverse(data + at, data + at + width);
}

template <class From, class To>
constexpr bool KeepsMeaning() {
  if constexpr (std::is_same_v<From, To>) return true;
  if constexpr (std::is_same_v<To, bool>) return false;
  return std::is_floating_point_v<To> || std::is_integral_v<From>;
}

// False when a value is out of the new type's range.
template <class From, class To>
bool ConvertValues(const Tensor& from, Tensor& to) {
  std::span<const From> source = from.values<From>();
  std::span<To> target = to.mutable_values<To>();
  for (size_t index = 0; index < source.size(); ++index) {
    if constexpr (std::is_integral_v<To> && !std::is_same_v<From, bool>) {
      if (!std::in_range<To>(source[index])) return false;
    }
    target[index] = static_cast<To>(source[index]);
  }
  return true;
}

Result<Tensor> ConvertTo(const Tensor& array, DataType type, const std::string& name) {
  if (array.type() == type) return array;
  bool possible = false, in_range = true;
  Tensor converted;
  WithNumber(array.type(), [&]<class From>(From) {
    WithNumber(type, [&]<class To>(To) {
      if constexpr (KeepsMeaning<From, To>() && !std::is_same_v<To, bool>) {
        possible = true;
        converted = Tensor::Numeric(type, array.shape());
        in_range = ConvertValues<From, To>(array, converted);
      }
    });
  });
  std::string types = "the model's input " + name + " is of type " + std::string(TypeName(type)) +
                      ", the array of type " + std::string(TypeName(array.type()));
  if (!possible) return Bad(types + ": convert it before you send it (array.astype)");
  if (!in_range) return Bad(types + ", and one of its values is out of range");
  return converted;
}

std::string HeaderText(const std::string& descr, const Shape& shape) {
  std::string text = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (";
  for (int64_t size : shape) text += std::to_string(size) + ", ";
  if (shape.size() > 1) text.resize(text.size() - 2);
  if (shape.size() == 1) text.resize(text.size() - 1);
  text += "), }";
  size_t unpadded = kMagic.size() + 4 + text.size() + 1;
  text.append((64 - unpadded % 64) % 64, ' ');
  return text + '\n';
}

}  // namespace

Result<Tensor> ParseNpy(std::string_view body) {
  TRY(std::string_view text, TakeHeader(body));
  TRY(Header header, HeaderReader(text).Read());
  if (header.descr.size() < 2) return Bad("its type " + header.descr + " is unknown");
  char order = header.descr[0], kind = header.descr[1];
  if (std::string_view("<>|=").find(order) == std::string_view::npos) {
    return Bad("its type " + header.descr + " is unknown");
  }
  bool swapped = order == '>';
  if (kind == 'S' || kind == 'U') return StringArray(header, kind, swapped, body);
  if (kind == 'O') return Bad("arrays of Python objects are not taken: they would run code when unpickled");
  std::string_view code = std::string_view(header.descr).substr(1);
  const auto* known = std::ranges::find(kTypes, code, &NpyType::code);
  if (known == kTypes.end()) return Bad("elements of type " + header.descr.substr(0, 100) + " are not taken");
  TRYV(CheckSize(header, ElementBytes(known->type), body.size()));
  Tensor tensor = Tensor::Numeric(known->type, header.shape);
  CopyElements(header, body, ElementBytes(known->type), tensor);
  if (swapped) SwapBytes(tensor);
  if (known->type == DataType::kBool) {
    // Only 0 and 1 are booleans in C++.
    for (std::byte& value : tensor.mutable_values<std::byte>()) value = std::byte(value != std::byte(0));
  }
  return tensor;
}

Result<std::string> EncodeNpy(const Tensor& tensor) {
  std::string descr, data;
  if (tensor.type() == DataType::kString) {
    size_t longest = 1;
    for (const std::string& element : tensor.strings()) longest = std::max(longest, element.size());
    descr = "|S" + std::to_string(longest);
    data.reserve(longest * tensor.strings().size());
    for (const std::string& element : tensor.strings()) {
      data += element;
      data.append(longest - element.size(), '\0');
    }
  } else {
    const auto* known = std::ranges::find(kTypes, tensor.type(), &NpyType::type);
    if (known == kTypes.end()) {
      return Fail(
          Unsupported("application/x-npy cannot hold elements of type " + std::string(TypeName(tensor.type()))));
    }
    descr = (ElementBytes(tensor.type()) == 1 ? "|" : "<") + std::string(known->code);
    data.assign(reinterpret_cast<const char*>(tensor.data()), tensor.byte_size());
  }
  std::string header = HeaderText(descr, tensor.shape());
  std::string file(kMagic);
  file += '\x01';
  file += '\0';
  file += static_cast<char>(header.size() & 0xFF);
  file += static_cast<char>(header.size() >> 8);
  return file + header + data;
}

Result<DecodedPredict> DecodeNpy(std::string_view body, const Servable& servable) {
  TRY(ChosenSignature chosen, ChooseSignature(servable));
  if (chosen.signature->inputs.size() != 1) {
    return Bad("the body is one array, and the model has " + std::to_string(chosen.signature->inputs.size()) +
               " inputs: send application/json with \"inputs\"");
  }
  const auto& [name, input] = *chosen.signature->inputs.begin();
  TRY(Tensor array, ParseNpy(body));
  TRY(Tensor converted, ConvertTo(array, input.type, name));
  DecodedPredict decoded{.signature_name = chosen.name, .inputs = {}};
  decoded.inputs.push_back(converted.Reshaped(FitShape(converted.shape(), input)));
  return decoded;
}

}  // namespace sagebrush::serving
