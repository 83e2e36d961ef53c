#include "wire/query.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <map>
#include <optional>
#include <set>

#include "base/clock.h"
#include "base/text.h"
#include "wire/errors.h"
#include "wire/json.h"

namespace sagebrush::wire {
namespace {

namespace json = boost::json;

// Turns form fields into the JSON value that the walker of json.h reads, guided by the shape.
class FormReader {
 public:
  explicit FormReader(const Form& form) {
    for (const auto& [name, value] : form) fields_.emplace(name, value);
  }

  json::value Read(const Shape& shape, const std::string& prefix) const {
    switch (shape.kind) {
      case Kind::kStructure:
        return ReadStructure(shape, prefix);
      case Kind::kList:
        return ReadList(shape, prefix);
      case Kind::kMap:
        return ReadMap(shape, prefix);
      default:
        return ReadScalar(shape.kind, Use(fields_.find(prefix)));
    }
  }

  json::value ReadStructure(const Shape& shape, const std::string& prefix) const {
    json::object out;
    for (const Member& member : shape.members) {
      std::string name = prefix.empty() ? std::string(member.name) : fmt::format("{}.{}", prefix, member.name);
      if (Exists(*member.shape, name)) out[member.name] = Read(*member.shape, name);
    }
    return out;
  }

  // A field that Read had no use for; "" when there is none.
  std::string Unused() const {
    for (const auto& [name, value] : fields_) {
      if (!used_.contains(name) && name != "Action" && name != "Version") return name;
    }
    return "";
  }

 private:
  using Fields = std::map<std::string, std::string>;
  const std::string& Use(Fields::const_iterator field) const {
    used_.insert(field->first);
    return field->second;
  }

  bool Exists(const Shape& shape, const std::string& name) const {
    bool is_container = shape.kind == Kind::kStructure || shape.kind == Kind::kList || shape.kind == Kind::kMap;
    if (!is_container) return fields_.contains(name);
    // Clients write an empty list so.
    if (auto empty = fields_.find(name); empty != fields_.end() && empty->second.empty()) Use(empty);
    auto at = fields_.lower_bound(name + ".");
    return at != fields_.end() && at->first.starts_with(name + ".");
  }

  json::value ReadList(const Shape& shape, const std::string& prefix) const {
    json::array out;
    for (size_t i = 1;; ++i) {
      std::string name = fmt::format("{}.member.{}", prefix, i);
      if (!Exists(*shape.element, name)) return out;
      out.push_back(Read(*shape.element, name));
    }
  }

  json::value ReadMap(const Shape& shape, const std::string& prefix) const {
    json::object out;
    for (size_t i = 1;; ++i) {
      std::string entry = fmt::format("{}.entry.{}", prefix, i);
      auto key = fields_.find(entry + ".key");
      if (key == fields_.end() || !Exists(*shape.element, entry + ".value")) return out;
      out[Use(key)] = Read(*shape.element, entry + ".value");
    }
  }

  // A text that is no number or boolean stays a string, which the walker then refuses by name.
  static json::value ReadScalar(Kind kind, const std::string& text) {
    if (kind == Kind::kTimestamp) {
      if (std::optional<int64_t> ms = ParseIso8601(text)) return static_cast<double>(*ms) / 1000;
    }
    if (kind == Kind::kBoolean && (text == "true" || text == "false")) return text == "true";
    if (kind != Kind::kString && kind != Kind::kBoolean) {
      boost::system::error_code error;
      json::value number = json::parse(text, error);
      if (!error && number.is_number()) return number;
    }
    return json::value(text);
  }

  Fields fields_;
  mutable std::set<std::string> used_;
};

void Write(const Shape& shape, const void* value, std::string& out);

void Element(std::string_view name, const Shape& shape, const void* value, std::string& out) {
  out.append("<").append(name).append(">");
  Write(shape, value, out);
  out.append("</").append(name).append(">");
}

void WriteMembers(const Shape& shape, const void* structure, std::string& out) {
  for (const Member& member : shape.members) {
    const void* value = member.get(structure);
    if (value == nullptr) continue;
    bool optional = member.presence == Presence::kOptional;
    if (optional && member.shape->kind == Kind::kList && member.shape->list->size(value) == 0) continue;
    if (optional && member.shape->kind == Kind::kMap && member.shape->map->size(value) == 0) continue;
    Element(member.name, *member.shape, value, out);
  }
}

void WriteMap(const Shape& shape, const void* map, std::string& out) {
  struct Context {
    const Shape* shape;
    std::string* out;
  } context{&shape, &out};
  shape.map->each(
      map,
      [](void* opaque, const std::string& key, const void* value) {
        auto* context = static_cast<Context*>(opaque);
        context->out->append("<entry><key>").append(XmlEscape(key)).append("</key>");
        Element("value", *context->shape->element, value, *context->out);
        context->out->append("</entry>");
      },
      &context);
}

void Write(const Shape& shape, const void* value, std::string& out) {
  switch (shape.kind) {
    case Kind::kString:
      out += XmlEscape(*static_cast<const std::string*>(value));
      return;
    case Kind::kInteger:
    case Kind::kLong:
      out += std::to_string(*static_cast<const int64_t*>(value));
      return;
    case Kind::kFloat:
    case Kind::kDouble:
      out += fmt::format("{}", *static_cast<const double*>(value));
      return;
    case Kind::kBoolean:
      out += *static_cast<const bool*>(value) ? "true" : "false";
      return;
    case Kind::kTimestamp:
      out += FormatIso8601(static_cast<const Timestamp*>(value)->ms);
      return;
    case Kind::kList:
      for (size_t i = 0; i < shape.list->size(value); ++i) {
        Element("member", *shape.element, shape.list->at(value, i), out);
      }
      return;
    case Kind::kMap:
      return WriteMap(shape, value, out);
    case Kind::kStructure:
      return WriteMembers(shape, value, out);
  }
}

}  // namespace

Result<Form> ParseForm(std::string_view body) {
  Form form;
  for (std::string_view field : Split(body, '&')) {
    if (field.empty()) continue;
    size_t equals = field.find('=');
    auto name = UriDecode(field.substr(0, equals), /*plus_is_space=*/true);
    auto value = UriDecode(equals == std::string_view::npos ? "" : field.substr(equals + 1), /*plus_is_space=*/true);
    if (!name || !value || ReplaceInvalidUtf8(*name) != *name || ReplaceInvalidUtf8(*value) != *value) {
      return Fail(InvalidArgument("The request body is not a valid form: it holds a broken escape or is not UTF-8.",
                                  "SerializationException"));
    }
    form.emplace_back(std::move(*name), std::move(*value));
  }
  return form;
}

const std::string* FindField(const Form& form, std::string_view name) {
  for (const auto& [key, value] : form) {
    if (key == name) return &value;
  }
  return nullptr;
}

Result<void> ReadForm(const Shape& shape, const Form& form, void* structure, UnknownMembers unknown) {
  FormReader reader(form);
  json::value value = reader.ReadStructure(shape, "");
  if (std::string name = reader.Unused(); unknown == UnknownMembers::kRefused && !name.empty()) {
    return Fail(InvalidArgument(fmt::format("'{}' is no member of {}: leave it out.", name, shape.name),
                                "ValidationException"));
  }
  return ReadJsonValue(shape, value, structure);
}

std::string WriteXml(const Shape& shape, const void* structure) {
  std::string out;
  Write(shape, structure, out);
  return out;
}

}  // namespace sagebrush::wire
