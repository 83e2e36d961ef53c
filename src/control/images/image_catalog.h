#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sagebrush::control {

// What an image URI asks for, by the catalogue.
struct ImageRecipe {
  std::string name;                            // of the catalogue's entry, for messages
  std::string python;                          // "3.12", or "" for whichever is newest
  std::vector<std::string> requirements;       // in pip's notation; may be empty
  std::string note;                            // said once in the job's log; "" for nothing
  std::vector<std::string> mpi_requirements;   // added for jobs that enable MPI
  std::vector<std::string> serve = {"serve"};  // the command that serves a model on port 8080; not empty

  bool operator==(const ImageRecipe&) const = default;
};

// images.toml: an ordered list of [[image]] tables; the first whose `pattern` matches the image's "repository:tag"
// (registry host stripped) makes the environment. Keys:
//   name          for messages
//   pattern       a regular expression with named groups, matched against the whole of "repository:tag"
//   python        a Python version; {group} is replaced by the named group ("312" and "3.12" both mean 3.12)
//   requirements  list of pip requirements; {group} likewise. "name==2.19" without a patch number means its newest
//   patch
//   mpi_requirements  the same, added for jobs that enable MPI; "horovod==…" is built here, see horovod.h
//   serve         list: the command that serves a model (/ping and /invocations), ["serve"] when it is left out
//   note          a line for the job's log
class ImageCatalog {
 public:
  // An empty path: the built-in catalogue alone. A file's entries come before the built-in ones.
  static Result<ImageCatalog> Load(const std::filesystem::path& file);
  static Result<ImageCatalog> Parse(std::string_view toml, std::string_view source_name);

  // kNotFound with a message that names the image, the patterns tried and the file to add one to.
  Result<ImageRecipe> Find(std::string_view image_uri) const;

 private:
  struct Entry;
  std::vector<std::shared_ptr<const Entry>> entries_;
};

// The catalogue that is built in (also the text of the installed images.toml).
std::string_view BuiltInImageCatalog();

}  // namespace sagebrush::control
