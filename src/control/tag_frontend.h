#pragma once

#include <functional>
#include <string>
#include <vector>

#include "control/arns.h"
#include "control/tag_table.h"
#include "gen/sagemaker.h"

namespace sagebrush::control {

// The API's view of tags, of whatever resource has an ARN. Requests have passed the API model's validation.
// Thread-safe; calls block. Errors: ValidationException for the ARN of nothing that exists here; the resource's own
// error for an unknown name.
class TagFrontend {
 public:
  // One kind of resource that can be tagged.
  struct Kind {
    std::string name;                                       // as in ARNs: "training-job"
    std::function<Result<void>(const std::string&)> check;  // that a resource of this name exists
  };
  TagFrontend(TagTable& tags, Arns arns, std::vector<Kind> kinds)
      : tags_(tags), arns_(std::move(arns)), kinds_(std::move(kinds)) {}

  Result<gen::sagemaker::ListTagsOutput> ListTags(const gen::sagemaker::ListTagsInput& request);
  Result<gen::sagemaker::AddTagsOutput> AddTags(const gen::sagemaker::AddTagsInput& request);
  Result<gen::sagemaker::DeleteTagsOutput> DeleteTags(const gen::sagemaker::DeleteTagsInput& request);

 private:
  Result<void> CheckExists(const std::string& arn) const;

  TagTable& tags_;
  const Arns arns_;
  const std::vector<Kind> kinds_;
};

}  // namespace sagebrush::control
