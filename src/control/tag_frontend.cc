#include "control/tag_frontend.h"

#include "control/refusals.h"

namespace sagebrush::control {

namespace sm = gen::sagemaker;

Result<void> TagFrontend::CheckExists(const std::string& arn) const {
  std::string known;
  for (const Kind& kind : kinds_) {
    std::string prefix = arns_.Of(kind.name, "");
    if (arn.starts_with(prefix)) return kind.check(arn.substr(prefix.size()));
    known += (known.empty() ? "" : ", ") + kind.name + "/…";
  }
  return Fail(Invalid("'" + arn + "' is not the ARN of anything here that has tags: after " + arns_.Prefix() +
                      " follows one of " + known + "."));
}

Result<sm::ListTagsOutput> TagFrontend::ListTags(const sm::ListTagsInput& request) {
  TRYV(CheckExists(request.ResourceArn));
  sm::ListTagsOutput output;
  // At most 50 tags exist: one page of the smallest size allowed (50) holds them all.
  TRY(output.Tags, tags_.List(request.ResourceArn));
  return output;
}

Result<sm::AddTagsOutput> TagFrontend::AddTags(const sm::AddTagsInput& request) {
  TRYV(CheckExists(request.ResourceArn));
  sm::AddTagsOutput output;
  TRY(output.Tags, tags_.Add(request.ResourceArn, request.Tags));
  return output;
}

Result<sm::DeleteTagsOutput> TagFrontend::DeleteTags(const sm::DeleteTagsInput& request) {
  TRYV(CheckExists(request.ResourceArn));
  TRYV(tags_.Remove(request.ResourceArn, request.TagKeys));
  return sm::DeleteTagsOutput{};
}

}  // namespace sagebrush::control
