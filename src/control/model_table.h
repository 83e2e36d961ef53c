#pragma once

#include <functional>
#include <string>

#include "control/database.h"
#include "control/request_rows.h"
#include "gen/sagemaker.h"

namespace sagebrush::control {

struct ModelRecord {
  gen::sagemaker::CreateModelInput request;
  int64_t created_ms = 0;
};

// The rows of models. Thread-safe; calls block. The only code that touches the table models.
class ModelTable {
 public:
  explicit ModelTable(Database& database) : database_(database), rows_(database, kTable, "model") {}

  // ValidationException when the name exists, unless the same call (invocation id, not empty) created it: then success.
  Result<void> Insert(const ModelRecord& record, const std::string& arn, const std::string& invocation_id);
  // kNotFound, ValidationException "Could not find model "NAME"." for an unknown name.
  Result<ModelRecord> Get(const std::string& name);
  // With its tags; an unknown name as in Get. Endpoints that serve the model go on.
  Result<void> Remove(const std::string& name, const std::string& arn);
  Result<gen::sagemaker::ListModelsOutput> List(const gen::sagemaker::ListModelsInput& request,
                                                const std::function<std::string(const std::string& name)>& arn_of);

 private:
  static constexpr std::string_view kTable = "models";

  Database& database_;
  RequestRows rows_;
};

}  // namespace sagebrush::control
