#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// What the generated tables in gen/ say of an API model's shapes, and how the walkers (json.h, query.h) reach the
// members of the generated structs without knowing their types. Everything here is constant data.
namespace sagebrush::wire {

// A point in time as API members hold it: milliseconds since the Unix epoch.
struct Timestamp {
  int64_t ms = 0;
  auto operator<=>(const Timestamp&) const = default;
};

// The C++ types behind: std::string; int64_t (integer, long); double (float, double); bool; Timestamp; std::vector;
// std::map<std::string, …>; a generated struct.
enum class Kind : uint8_t { kString, kInteger, kLong, kFloat, kDouble, kBoolean, kTimestamp, kList, kMap, kStructure };

enum class Presence : uint8_t {
  kOptional,
  kEmitEmpty,  // optional in a request; a list or map that a reply holds even when it is empty
  kRequired,
};

struct Shape;

struct Member {
  std::string_view name;
  const Shape* shape;
  Presence presence;
  const void* (*get)(const void* structure);  // nullptr when the optional is empty
  void* (*make)(void* structure);             // the member's value, made if it is an optional
};

struct ListAccess {
  size_t (*size)(const void* list);
  const void* (*at)(const void* list, size_t index);
  void* (*append)(void* list);  // a new last element; valid until the next append
};

struct MapAccess {
  size_t (*size)(const void* map);
  void* (*insert)(void* map, std::string key);
  void (*each)(const void* map, void (*visit)(void* context, const std::string& key, const void* value), void* context);
};

struct Shape {
  std::string_view name;
  Kind kind;
  std::optional<int64_t> min = {};  // characters of a string, elements of a list or map, value of a number
  std::optional<int64_t> max = {};
  std::string_view pattern = {};                  // in the model's (Java's) syntax; "" for none
  std::span<const std::string_view> values = {};  // of an enum; empty for none
  bool sensitive = false;
  std::span<const Member> members = {};  // of a structure
  const Shape* element = nullptr;        // of a list, or a map's values
  const Shape* key = nullptr;            // of a map
  const ListAccess* list = nullptr;
  const MapAccess* map = nullptr;
};

namespace internal {

template <class Field>
struct FieldAccess {
  static const void* Get(const Field& field) { return &field; }
  static void* Make(Field& field) { return &field; }
};
template <class T>
struct FieldAccess<std::optional<T>> {
  static const void* Get(const std::optional<T>& field) { return field ? &*field : nullptr; }
  static void* Make(std::optional<T>& field) { return &field.emplace(); }
};

template <auto kPointer, class Structure, class Field>
consteval Member DescribeMember(Field Structure::*, std::string_view name, const Shape* shape, Presence presence) {
  return Member{
      .name = name,
      .shape = shape,
      .presence = presence,
      .get =
          [](const void* structure) {
            return FieldAccess<Field>::Get(static_cast<const Structure*>(structure)->*kPointer);
          },
      .make = [](void* structure) { return FieldAccess<Field>::Make(static_cast<Structure*>(structure)->*kPointer); }};
}

}  // namespace internal

template <auto kPointer>
consteval Member DescribeMember(std::string_view name, const Shape* shape, Presence presence) {
  return internal::DescribeMember<kPointer>(kPointer, name, shape, presence);
}

template <class List>
inline constexpr ListAccess kListAccess{
    .size = [](const void* list) { return static_cast<const List*>(list)->size(); },
    .at = [](const void* list, size_t index) -> const void* { return &(*static_cast<const List*>(list))[index]; },
    .append = [](void* list) -> void* { return &static_cast<List*>(list)->emplace_back(); }};

template <class Map>
inline constexpr MapAccess kMapAccess{
    .size = [](const void* map) { return static_cast<const Map*>(map)->size(); },
    .insert = [](void* map, std::string key) -> void* { return &(*static_cast<Map*>(map))[std::move(key)]; },
    .each =
        [](const void* map, void (*visit)(void* context, const std::string& key, const void* value), void* context) {
          for (const auto& [key, value] : *static_cast<const Map*>(map)) visit(context, key, &value);
        }};

}  // namespace sagebrush::wire
