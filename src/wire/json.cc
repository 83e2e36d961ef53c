#include "wire/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/log.h"
#include "wire/validation.h"

namespace sagebrush::wire {
namespace {

namespace json = boost::json;

constexpr size_t kMaxDepth = 64;
// Timestamps beyond the year 9999 are no use to anyone and would overflow what follows.
constexpr double kMaxTimestampSeconds = 253402300799;

std::string LowerCamel(std::string_view name) {
  std::string out(name);
  if (!out.empty() && out[0] >= 'A' && out[0] <= 'Z') out[0] = static_cast<char>(out[0] - 'A' + 'a');
  return out;
}

// The JSON type as the hosted service's errors call it.
std::string_view TokenName(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "NULL_VALUE";
    case json::kind::bool_:
      return value.get_bool() ? "TRUE_VALUE" : "FALSE_VALUE";
    case json::kind::int64:
    case json::kind::uint64:
      return "NUMBER_VALUE";
    case json::kind::double_:
      return "DECIMAL_VALUE";
    case json::kind::string:
      return "STRING_VALUE";
    case json::kind::array:
      return "START_ARRAY";
    case json::kind::object:
      return "START_OBJECT";
  }
  return "UNKNOWN_VALUE";
}

std::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kString:
      return "a String";
    case Kind::kInteger:
      return "an Integer";
    case Kind::kLong:
      return "a Long";
    case Kind::kFloat:
      return "a Float";
    case Kind::kDouble:
      return "a Double";
    case Kind::kBoolean:
      return "a Boolean";
    case Kind::kTimestamp:
      return "a Timestamp";
    case Kind::kList:
      return "a List";
    case Kind::kMap:
      return "a Map";
    case Kind::kStructure:
      return "a Structure";
  }
  return "a value";
}

Error WrongType(const json::value& value, Kind kind, const std::string& path) {
  std::string at = path.empty() ? "the request body" : "'" + path + "'";
  return InvalidArgument(fmt::format("{} can not be converted to {} at {}.", TokenName(value), KindName(kind), at),
                         "SerializationException");
}

// The whole number that a JSON value is (5, 5.0), if it fits into [min, max].
std::optional<int64_t> AsWholeNumber(const json::value& value, int64_t min, int64_t max) {
  int64_t number = 0;
  if (const int64_t* integer = value.if_int64()) {
    number = *integer;
  } else if (const double* real = value.if_double()) {
    if (!(std::fabs(*real) <= 9007199254740992.0) || std::trunc(*real) != *real) return std::nullopt;
    number = static_cast<int64_t>(*real);
  } else {
    return std::nullopt;  // an uint64 is larger than any int64
  }
  if (number < min || number > max) return std::nullopt;
  return number;
}

std::optional<double> AsReal(const json::value& value) {
  if (!value.is_number()) return std::nullopt;
  return value.to_number<double>();
}

bool IsContainer(const Shape& shape) {
  return shape.kind == Kind::kList || shape.kind == Kind::kMap || shape.kind == Kind::kStructure;
}

// A list or map of scalars as the hosted messages print it: [a, b] and {k=v, l=w}.
std::string Show(const json::value& value) {
  if (value.is_string()) return std::string(value.get_string());
  std::string out;
  if (value.is_array()) {
    for (const json::value& element : value.get_array()) out += (out.empty() ? "" : ", ") + Show(element);
    return "[" + out + "]";
  }
  if (value.is_object()) {
    for (const auto& [key, element] : value.get_object()) {
      out += (out.empty() ? "" : ", ") + std::string(key) + "=" + Show(element);
    }
    return "{" + out + "}";
  }
  return json::serialize(value);
}

bool SizeFits(const Shape& shape, size_t size) {
  auto count = static_cast<int64_t>(size);
  return (!shape.max || count <= *shape.max) && (!shape.min || count >= *shape.min);
}

// Walks a JSON value and a structure side by side. A wrong JSON type ends the walk (SerializationException);
// violated constraints are collected. Depth is bounded by the parser and by the tables, which do not recurse.
class Reader {
 public:
  explicit Reader(UnknownMembers unknown) : unknown_(unknown) {}

  Result<void> ReadStructure(const Shape& shape, const json::value& value, void* structure, const std::string& path,
                             bool sensitive) {
    const json::object* object = value.if_object();
    if (object == nullptr) return Fail(WrongType(value, Kind::kStructure, path));
    if (unknown_ == UnknownMembers::kRefused) TRYV(CheckMembers(shape, *object, path));
    for (const Member& member : shape.members) {
      const json::value* found = object->if_contains(member.name);
      std::string member_path = (path.empty() ? "" : path + ".") + LowerCamel(member.name);
      if (found == nullptr || found->is_null()) {
        if (member.presence == Presence::kRequired) violations_.MissingMember(member_path);
        continue;
      }
      TRYV(Read(*member.shape, *found, member.make(structure), member_path, sensitive || shape.sensitive));
    }
    return {};
  }

  Result<void> Finish() const { return violations_.Finish(); }

 private:
  static Result<void> CheckMembers(const Shape& shape, const json::object& object, const std::string& path) {
    for (const auto& [name, value] : object) {
      if (std::ranges::find(shape.members, std::string_view(name), &Member::name) != shape.members.end()) continue;
      std::string at = (path.empty() ? "" : path + ".") + LowerCamel(name);
      return Fail(InvalidArgument(fmt::format("'{}' is no member of {}: leave it out.", at, shape.name),
                                  "ValidationException"));
    }
    return {};
  }

  Result<void> Read(const Shape& shape, const json::value& value, void* target, const std::string& path,
                    bool sensitive) {
    sensitive = sensitive || shape.sensitive;
    switch (shape.kind) {
      case Kind::kStructure:
        return ReadStructure(shape, value, target, path, sensitive);
      case Kind::kList:
        return ReadList(shape, value, target, path, sensitive);
      case Kind::kMap:
        return ReadMap(shape, value, target, path, sensitive);
      default:
        break;
    }
    TRYV(ReadScalar(shape, value, target, path));
    if (shape.kind == Kind::kString) {
      violations_.CheckString(shape, path, *static_cast<std::string*>(target), sensitive);
    } else if (std::optional<double> number = AsReal(value); number && shape.kind != Kind::kTimestamp) {
      violations_.CheckNumber(shape, path, *number, json::serialize(value), sensitive);
    }
    return {};
  }

  static Result<void> ReadScalar(const Shape& shape, const json::value& value, void* target, const std::string& path) {
    if (shape.kind == Kind::kString) {
      if (!value.is_string()) return Fail(WrongType(value, shape.kind, path));
      static_cast<std::string*>(target)->assign(value.get_string().data(), value.get_string().size());
    } else if (shape.kind == Kind::kBoolean) {
      if (!value.is_bool()) return Fail(WrongType(value, shape.kind, path));
      *static_cast<bool*>(target) = value.get_bool();
    } else if (shape.kind == Kind::kInteger || shape.kind == Kind::kLong) {
      bool is_long = shape.kind == Kind::kLong;
      auto number = AsWholeNumber(value, is_long ? std::numeric_limits<int64_t>::min() : -2147483648LL,
                                  is_long ? std::numeric_limits<int64_t>::max() : 2147483647LL);
      if (!number) return Fail(WrongType(value, shape.kind, path));
      *static_cast<int64_t*>(target) = *number;
    } else {
      std::optional<double> number = AsReal(value);
      if (!number) return Fail(WrongType(value, shape.kind, path));
      if (shape.kind != Kind::kTimestamp) {
        *static_cast<double*>(target) = *number;
      } else if (std::fabs(*number) > kMaxTimestampSeconds) {
        return Fail(WrongType(value, shape.kind, path));
      } else {
        static_cast<Timestamp*>(target)->ms = std::llround(*number * 1000);
      }
    }
    return {};
  }

  // Reads a scalar inside a container; false when it violates a constraint of its shape.
  static Result<bool> ReadElement(const Shape& shape, const json::value& value, void* target, const std::string& path) {
    TRYV(ReadScalar(shape, value, target, path));
    if (shape.kind == Kind::kString) return Satisfies(shape, *static_cast<std::string*>(target));
    std::optional<double> number = AsReal(value);
    return !number || shape.kind == Kind::kTimestamp || Satisfies(shape, *number);
  }

  Result<void> ReadList(const Shape& shape, const json::value& value, void* target, const std::string& path,
                        bool sensitive) {
    const json::array* array = value.if_array();
    if (array == nullptr) return Fail(WrongType(value, shape.kind, path));
    bool elements_ok = true;
    for (size_t i = 0; i < array->size(); ++i) {
      const json::value& element = (*array)[i];
      std::string element_path = fmt::format("{}.{}.member", path, i + 1);
      if (element.is_null()) {
        violations_.MissingMember(element_path);
      } else if (IsContainer(*shape.element)) {
        TRYV(Read(*shape.element, element, shape.list->append(target), element_path, sensitive));
      } else {
        TRY(bool ok, ReadElement(*shape.element, element, shape.list->append(target), element_path));
        elements_ok = elements_ok && ok;
      }
    }
    sensitive = sensitive || shape.element->sensitive;
    if (!SizeFits(shape, array->size())) violations_.CheckSize(shape, path, array->size(), Show(value), sensitive);
    if (!elements_ok) violations_.ElementsViolate("Member", *shape.element, path, Show(value), sensitive);
    return {};
  }

  Result<void> ReadMap(const Shape& shape, const json::value& value, void* target, const std::string& path,
                       bool sensitive) {
    const json::object* object = value.if_object();
    if (object == nullptr) return Fail(WrongType(value, shape.kind, path));
    bool keys_ok = true;
    bool values_ok = true;
    for (const auto& [key, element] : *object) {
      std::string element_path = fmt::format("{}.{}.member", path, std::string_view(key));
      keys_ok = keys_ok && Satisfies(*shape.key, std::string_view(key));
      if (element.is_null()) {
        violations_.MissingMember(element_path);
      } else if (IsContainer(*shape.element)) {
        TRYV(Read(*shape.element, element, shape.map->insert(target, std::string(key)), element_path, sensitive));
      } else {
        TRY(bool ok, ReadElement(*shape.element, element, shape.map->insert(target, std::string(key)), element_path));
        values_ok = values_ok && ok;
      }
    }
    sensitive = sensitive || shape.element->sensitive || shape.key->sensitive;
    if (!SizeFits(shape, object->size())) violations_.CheckSize(shape, path, object->size(), Show(value), sensitive);
    if (!keys_ok) violations_.ElementsViolate("Map keys", *shape.key, path, Show(value), sensitive);
    if (!values_ok) violations_.ElementsViolate("Map value", *shape.element, path, Show(value), sensitive);
    return {};
  }

  const UnknownMembers unknown_;
  Violations violations_;
};

class Writer {
 public:
  explicit Writer(bool redact) : redact_(redact) {}

  void Write(const Shape& shape, const void* value) {
    if (redact_ && shape.sensitive) {
      out_ += "\"***\"";
      return;
    }
    switch (shape.kind) {
      case Kind::kString:
        return WriteString(*static_cast<const std::string*>(value));
      case Kind::kInteger:
      case Kind::kLong:
        out_ += std::to_string(*static_cast<const int64_t*>(value));
        return;
      case Kind::kFloat:
      case Kind::kDouble:
        return WriteReal(*static_cast<const double*>(value));
      case Kind::kBoolean:
        out_ += *static_cast<const bool*>(value) ? "true" : "false";
        return;
      case Kind::kTimestamp:
        return WriteTimestamp(static_cast<const Timestamp*>(value)->ms);
      case Kind::kList:
        return WriteList(shape, value);
      case Kind::kMap:
        return WriteMap(shape, value);
      case Kind::kStructure:
        return WriteStructure(shape, value);
    }
  }

  std::string Take() && { return std::move(out_); }

 private:
  void WriteString(std::string_view text) { out_.append("\"").append(JsonEscape(text)).append("\""); }

  void WriteReal(double value) {
    // JSON has no such numbers; AWS writes them as strings.
    if (std::isnan(value)) return WriteString("NaN");
    if (std::isinf(value)) return WriteString(value > 0 ? "Infinity" : "-Infinity");
    char buffer[32];
    auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
    out_.append(buffer, result.ptr);
  }

  void WriteTimestamp(int64_t ms) {
    if (ms < 0) out_ += '-';
    uint64_t magnitude = ms < 0 ? 0 - static_cast<uint64_t>(ms) : static_cast<uint64_t>(ms);
    out_ += fmt::format("{}.{:03}", magnitude / 1000, magnitude % 1000);
  }

  void WriteList(const Shape& shape, const void* list) {
    out_ += '[';
    for (size_t i = 0; i < shape.list->size(list); ++i) {
      if (i > 0) out_ += ',';
      Write(*shape.element, shape.list->at(list, i));
    }
    out_ += ']';
  }

  void WriteMap(const Shape& shape, const void* map) {
    struct Context {
      Writer* writer;
      const Shape* shape;
      bool first = true;
    } context{this, &shape};
    out_ += '{';
    shape.map->each(
        map,
        [](void* opaque, const std::string& key, const void* value) {
          auto* context = static_cast<Context*>(opaque);
          if (!std::exchange(context->first, false)) context->writer->out_ += ',';
          context->writer->WriteString(key);
          context->writer->out_ += ':';
          context->writer->Write(*context->shape->element, value);
        },
        &context);
    out_ += '}';
  }

  static bool IsLeftOut(const Member& member, const void* value) {
    if (value == nullptr) return true;
    if (member.presence != Presence::kOptional) return false;
    if (member.shape->kind == Kind::kList) return member.shape->list->size(value) == 0;
    return member.shape->kind == Kind::kMap && member.shape->map->size(value) == 0;
  }

  void WriteStructure(const Shape& shape, const void* structure) {
    out_ += '{';
    bool first = true;
    for (const Member& member : shape.members) {
      const void* value = member.get(structure);
      if (IsLeftOut(member, value)) continue;
      if (!std::exchange(first, false)) out_ += ',';
      WriteString(member.name);
      out_ += ':';
      Write(*member.shape, value);
    }
    out_ += '}';
  }

  bool redact_;
  std::string out_;
};

}  // namespace

Result<void> ReadJsonValue(const Shape& shape, const json::value& value, void* structure, UnknownMembers unknown) {
  Reader reader(unknown);
  TRYV(reader.ReadStructure(shape, value, structure, "", shape.sensitive));
  return reader.Finish();
}

Result<void> ReadJson(const Shape& shape, std::string_view text, void* structure, UnknownMembers unknown) {
  if (text.empty()) return ReadJsonValue(shape, json::object(), structure);
  json::parse_options options;
  options.max_depth = kMaxDepth;
  boost::system::error_code error;
  json::value value = json::parse(text, error, {}, options);
  if (error) {
    return Fail(InvalidArgument(fmt::format("The request body is not valid JSON: {}.", error.message()),
                                "SerializationException"));
  }
  return ReadJsonValue(shape, value, structure, unknown);
}

std::string WriteJson(const Shape& shape, const void* structure, bool redact) {
  Writer writer(redact);
  writer.Write(shape, structure);
  return std::move(writer).Take();
}

}  // namespace sagebrush::wire
