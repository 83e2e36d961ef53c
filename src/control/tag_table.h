#pragma once

#include <string>
#include <vector>

#include "control/database.h"
#include "gen/sagemaker.h"

namespace sagebrush::control {

// Gives a new resource its tags, within the transaction that creates it; those that an earlier one of the same ARN left
// behind go.
Result<void> SetTags(db::Transaction& tx, const std::string& arn, const std::vector<gen::sagemaker::Tag>& tags);

// Tags of any resource, by ARN. Thread-safe; calls block.
class TagTable {
 public:
  explicit TagTable(Database& database) : database_(database) {}

  Result<std::vector<gen::sagemaker::Tag>> List(const std::string& arn);
  // Adds or replaces. At most 50 tags a resource (ValidationException). Returns all tags.
  Result<std::vector<gen::sagemaker::Tag>> Add(const std::string& arn, const std::vector<gen::sagemaker::Tag>& tags);
  Result<void> Remove(const std::string& arn, const std::vector<std::string>& keys);

 private:
  Database& database_;
};

}  // namespace sagebrush::control
