#include "cli/command_context.h"

#include <fmt/format.h>

#include "cli/format.h"

namespace sagebrush::cli {
namespace {

constexpr size_t kSuggestFrom = 500;  // newest names that a mistyped one is compared with
constexpr size_t kSuggestions = 3;

}  // namespace

int FailForName(CommandContext& context, const std::string& name, const Error& error, const NamedThings& things) {
  int code = context.terminal.Fail(error);
  if (error.kind != ErrorKind::kNotFound) return code;
  auto names = things.newest(context.engine, kSuggestFrom);
  if (!names) return code;
  std::vector<std::string> closest = Closest(name, *names, kSuggestions);
  if (!closest.empty()) {
    context.terminal.Note("Did you mean:");
    for (const std::string& candidate : closest) context.terminal.Note("  " + candidate);
  } else if (names->empty()) {
    context.terminal.Note(fmt::format("There are no {} yet.", things.plural));
  } else {
    context.terminal.Note(fmt::format("`{}` lists the {} there are.", things.list_command, things.plural));
  }
  return code;
}

}  // namespace sagebrush::cli
