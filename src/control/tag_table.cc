#include "control/tag_table.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;
constexpr size_t kMostTags = 50;

Result<std::vector<sm::Tag>> Read(db::Transaction& tx, const std::string& arn) {
  std::vector<sm::Tag> tags;
  TRYV(tx.ForEach("SELECT key, value FROM tags WHERE arn = ? ORDER BY position, key", {arn},
                  [&tags](const db::Row& row) {
                    tags.push_back({row.Text(0), row.Text(1)});
                    return true;
                  }));
  return tags;
}

constexpr std::string_view kPut =
    "INSERT INTO tags (arn, key, value, position) VALUES (?, ?, ?, "
    "(SELECT COALESCE(MAX(position), -1) + 1 FROM tags WHERE arn = ?)) "
    "ON CONFLICT (arn, key) DO UPDATE SET value = excluded.value";

}  // namespace

Result<void> SetTags(db::Transaction& tx, const std::string& arn, const std::vector<sm::Tag>& tags) {
  TRYV(tx.Execute("DELETE FROM tags WHERE arn = ?", {arn}));
  for (const sm::Tag& tag : tags) TRYV(tx.Execute(kPut, {arn, tag.Key, tag.Value, arn}));
  return {};
}

Result<std::vector<sm::Tag>> TagTable::List(const std::string& arn) {
  std::vector<sm::Tag> tags;
  TRYV(database_.Read([&](db::Transaction& tx) -> Result<void> {
    TRY(tags, Read(tx, arn));
    return {};
  }));
  return tags;
}

Result<std::vector<sm::Tag>> TagTable::Add(const std::string& arn, const std::vector<sm::Tag>& added) {
  std::vector<sm::Tag> tags;
  TRYV(database_.Write([&](db::Transaction& tx) -> Result<void> {
    for (const sm::Tag& tag : added) TRYV(tx.Execute(kPut, {arn, tag.Key, tag.Value, arn}));
    TRY(tags, Read(tx, arn));
    if (tags.size() > kMostTags) {
      return Fail(InvalidArgument(
          "A resource can have at most 50 tags; this call would make " + std::to_string(tags.size()) + " on " + arn,
          "ValidationException"));
    }
    return {};
  }));
  return tags;
}

Result<void> TagTable::Remove(const std::string& arn, const std::vector<std::string>& keys) {
  return database_.Write([&](db::Transaction& tx) -> Result<void> {
    for (const std::string& key : keys) TRYV(tx.Execute("DELETE FROM tags WHERE arn = ? AND key = ?", {arn, key}));
    return {};
  });
}

}  // namespace sagebrush::control
