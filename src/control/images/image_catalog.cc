#include "control/images/image_catalog.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <toml++/toml.h>

#include <map>
#include <optional>

#include "base/text.h"
#include "io/file.h"

namespace sagebrush::control {

struct ImageCatalog::Entry {
  std::string name, pattern, python, note;
  std::vector<std::string> requirements, mpi_requirements;
  std::vector<std::string> serve = ImageRecipe().serve;
  std::shared_ptr<pcre2_code> compiled;

  Result<void> Read(const toml::table& table, std::string_view source_name);
};

namespace {

using Groups = std::map<std::string, std::string, std::less<>>;

Result<std::shared_ptr<pcre2_code>> Compile(const std::string& pattern) {
  int code = 0;
  size_t offset = 0;
  pcre2_code* compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                       PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF, &code, &offset, nullptr);
  if (compiled == nullptr) {
    PCRE2_UCHAR text[256] = {};
    pcre2_get_error_message(code, text, sizeof text);
    return Fail(InvalidArgument(std::string(reinterpret_cast<char*>(text)) + " at character " + std::to_string(offset) +
                                " of pattern " + pattern));
  }
  return std::shared_ptr<pcre2_code>(compiled, pcre2_code_free);
}

Groups NamedGroups(const pcre2_code* code, pcre2_match_data* match, std::string_view subject) {
  Groups groups;
  uint32_t count = 0, entry_size = 0;
  PCRE2_SPTR table = nullptr;
  pcre2_pattern_info(code, PCRE2_INFO_NAMECOUNT, &count);
  pcre2_pattern_info(code, PCRE2_INFO_NAMEENTRYSIZE, &entry_size);
  pcre2_pattern_info(code, PCRE2_INFO_NAMETABLE, &table);
  const size_t* ovector = pcre2_get_ovector_pointer(match);
  for (uint32_t i = 0; i < count; ++i) {
    PCRE2_SPTR entry = table + i * entry_size;
    size_t number = static_cast<size_t>(entry[0]) << 8 | entry[1];
    size_t begin = ovector[2 * number], end = ovector[2 * number + 1];
    std::string name(reinterpret_cast<const char*>(entry + 2));
    groups[name] = begin == PCRE2_UNSET ? "" : std::string(subject.substr(begin, end - begin));
  }
  return groups;
}

std::optional<Groups> Match(const pcre2_code* code, std::string_view subject) {
  std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
      pcre2_match_data_create_from_pattern(code, nullptr), pcre2_match_data_free);
  std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(pcre2_match_context_create(nullptr),
                                                                                    pcre2_match_context_free);
  pcre2_set_match_limit(context.get(), 100'000);
  int found =
      pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(subject.data()), subject.size(), 0, 0, match.get(), context.get());
  if (found < 0) return std::nullopt;
  return NamedGroups(code, match.get(), subject);
}

std::string Substitute(std::string text, const Groups& groups) {
  for (const auto& [name, value] : groups) {
    std::string key = "{" + name + "}";
    for (size_t at = text.find(key); at != std::string::npos; at = text.find(key, at + value.size())) {
      text.replace(at, key.size(), value);
    }
  }
  return text;
}

// "312" → "3.12", "3.12" stays, "latest" → "".
std::string PythonVersion(std::string version) {
  if (version == "latest") return "";
  if (!version.empty() && version.find('.') == std::string::npos) version.insert(1, ".");
  return version;
}

// "tensorflow-cpu==2.19" → "tensorflow-cpu==2.19.*": two numbers mean the newest patch, as in hosted image tags.
std::string Pin(std::string requirement) {
  size_t at = requirement.find("==");
  if (at == std::string::npos) return requirement;
  std::string version = requirement.substr(at + 2);
  if (Split(version, '.').size() == 2 && version.find_first_not_of("0123456789.") == std::string::npos) {
    requirement += ".*";
  }
  return requirement;
}

// "123.dkr.ecr.us-west-2.amazonaws.com/tensorflow-training:2.19-cpu-py312" → without the registry host.
std::string_view RepositoryAndTag(std::string_view uri) {
  size_t slash = uri.find('/');
  if (slash == std::string_view::npos) return uri;
  std::string_view first = uri.substr(0, slash);
  bool is_host = first.find('.') != std::string_view::npos || first.find(':') != std::string_view::npos;
  return is_host ? uri.substr(slash + 1) : uri;
}

}  // namespace

Result<void> ImageCatalog::Entry::Read(const toml::table& table, std::string_view source_name) {
  for (const auto& [key, value] : table) {
    std::string* text = key == "name"      ? &name
                        : key == "pattern" ? &pattern
                        : key == "python"  ? &python
                        : key == "note"    ? &note
                                           : nullptr;
    std::vector<std::string>* list = key == "requirements"       ? &requirements
                                     : key == "mpi_requirements" ? &mpi_requirements
                                     : key == "serve"            ? &serve
                                                                 : nullptr;
    bool good = text != nullptr && value.is_string();
    if (good) *text = value.value_or(std::string());
    if (list != nullptr && value.is_array()) {
      list->clear();
      good = key != "serve" || !value.as_array()->empty();
      for (const toml::node& item : *value.as_array()) {
        good = good && item.is_string();
        list->push_back(item.value_or(std::string()));
      }
    }
    if (good) continue;
    return Fail(InvalidArgument(std::string(source_name) + ", line " + std::to_string(key.source().begin.line) + ": '" +
                                std::string(key.str()) +
                                "' is not a key of [[image]] or has the wrong type; known are the strings name, "
                                "pattern, python, note and the lists of strings requirements, mpi_requirements and "
                                "serve (which holds the program at least)"));
  }
  return {};
}

Result<ImageCatalog> ImageCatalog::Parse(std::string_view text, std::string_view source_name) {
  toml::table root;
  try {
    root = toml::parse(text, source_name);
  } catch (const toml::parse_error& error) {
    return Fail(InvalidArgument(std::string(source_name) + ", line " + std::to_string(error.source().begin.line) +
                                ": " + std::string(error.description())));
  }
  for (const auto& [key, value] : root) {
    if (key != "image") {
      return Fail(InvalidArgument(std::string(source_name) + ": unknown key '" + std::string(key.str()) +
                                  "'; only [[image]] tables are allowed"));
    }
  }
  ImageCatalog catalog;
  const toml::array* images = root["image"].as_array();
  if (images == nullptr) return catalog;
  for (const toml::node& node : *images) {
    const toml::table* table = node.as_table();
    if (table == nullptr) return Fail(InvalidArgument(std::string(source_name) + ": 'image' must be [[image]] tables"));
    auto entry = std::make_shared<Entry>();
    TRYV(entry->Read(*table, source_name));
    Result<std::shared_ptr<pcre2_code>> compiled = Compile(entry->pattern);
    if (!compiled) return Fail(std::move(compiled).error().Because(source_name));
    entry->compiled = *std::move(compiled);
    catalog.entries_.push_back(std::move(entry));
  }
  return catalog;
}

Result<ImageCatalog> ImageCatalog::Load(const std::filesystem::path& file) {
  ImageCatalog catalog;
  if (!file.empty()) {
    TRY(std::string text, io::ReadFile(file));
    TRY(catalog, Parse(text, file.string()));
  }
  TRY(ImageCatalog built_in, Parse(BuiltInImageCatalog(), "built-in images.toml"));
  catalog.entries_.insert(catalog.entries_.end(), built_in.entries_.begin(), built_in.entries_.end());
  return catalog;
}

Result<ImageRecipe> ImageCatalog::Find(std::string_view image_uri) const {
  std::string_view subject = RepositoryAndTag(image_uri);
  for (const auto& entry : entries_) {
    std::optional<Groups> groups = Match(entry->compiled.get(), subject);
    if (!groups) continue;
    ImageRecipe recipe;
    recipe.name = entry->name;
    recipe.python = PythonVersion(Substitute(entry->python, *groups));
    recipe.note = Substitute(entry->note, *groups);
    recipe.serve = entry->serve;
    for (const auto& [from, to] : {std::pair{&entry->requirements, &recipe.requirements},
                                   std::pair{&entry->mpi_requirements, &recipe.mpi_requirements}}) {
      for (const std::string& requirement : *from) to->push_back(Pin(Substitute(requirement, *groups)));
    }
    return recipe;
  }
  std::string known, last;
  for (const auto& entry : entries_) {
    if (entry->name != last) known += (known.empty() ? "" : ", ") + entry->name;
    last = entry->name;
  }
  return Fail(NotFound("no entry of the image catalogue matches '" + std::string(image_uri) + "' (known: " + known +
                       "). Use a TensorFlow image URI such as "
                       "tensorflow-training:2.19-cpu-py312 or tensorflow-inference:2.19-cpu, or add an [[image]] entry "
                       "to images.toml."));
}

}  // namespace sagebrush::control
