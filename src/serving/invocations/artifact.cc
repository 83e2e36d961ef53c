#include "serving/invocations/artifact.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"

namespace sagebrush::serving {
namespace {

namespace fs = std::filesystem;

// Follows links, into each directory once.
void FindBundles(const fs::path& directory, std::set<fs::path>& visited, std::set<fs::path>& models) {
  std::error_code ec;
  if (fs::path real = fs::canonical(directory, ec); ec || !visited.insert(real).second) return;
  for (fs::directory_iterator entry(directory, ec), end; !ec && entry != end; entry.increment(ec)) {
    std::error_code unreadable;
    if (entry->is_directory(unreadable)) {
      FindBundles(entry->path(), visited, models);
    } else if (entry->path().filename() == "saved_model.pb" && ParseInt(directory.filename().string())) {
      models.insert(directory.parent_path());
    }
  }
}

}  // namespace

Result<std::vector<ModelConfig>> FindModels(const fs::path& root) {
  fs::path clean = (root / "").lexically_normal().parent_path();  // without a slash at the end
  std::set<fs::path> visited, found;
  FindBundles(clean, visited, found);
  if (found.empty()) {
    return Fail(Error(ErrorKind::kFailedPrecondition,
                      "no SavedModel bundles found! " + clean.string() +
                          " must hold NAME/NUMBER/saved_model.pb, as in model.tar.gz made of `export` directories"));
  }
  std::vector<ModelConfig> models;
  std::map<std::string, fs::path> names;
  for (const fs::path& path : found) {
    std::string name = path == clean ? "model" : path.filename().string();
    auto [known, added] = names.emplace(name, path);
    if (!added) {
      return Fail(Error(ErrorKind::kFailedPrecondition, "two models are named " + name + ": " + known->second.string() +
                                                            " and " + path.string() + "; rename one of the two"));
    }
    models.push_back(ModelConfig{.name = name, .base_path = path, .policy = AllVersions{}, .labels = {}});
  }
  return models;
}

Result<std::string> ChooseDefaultModel(const std::vector<ModelConfig>& models, const std::string& wanted) {
  if (wanted.empty() && !models.empty()) return models.front().name;
  std::string names;
  for (const ModelConfig& model : models) {
    if (model.name == wanted) return wanted;
    names += (names.empty() ? "" : ", ") + model.name;
  }
  return Fail(InvalidArgument("SAGEMAKER_TFS_DEFAULT_MODEL_NAME is " + wanted + ", which is none of the models (" +
                              names + ")"));
}

}  // namespace sagebrush::serving
