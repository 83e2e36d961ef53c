#include "agent/failure_text.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstring>

#include "agent/toolkit.h"
#include "base/text.h"

namespace sagebrush::agent {
namespace {

constexpr size_t kMessageCharacters = 640;
constexpr size_t kCommandCharacters = 256;
constexpr size_t kPlainLines = 8;

bool IsIndented(const std::string& line) { return line.empty() || line[0] == ' ' || line[0] == '\t'; }

std::string Join(const std::deque<std::string>& lines, size_t from) {
  std::string out;
  for (size_t i = from; i < lines.size(); ++i) out += (out.empty() ? "" : "\n") + lines[i];
  return out;
}

// The last `limit` characters: the end is what tells.
std::string KeepEnd(const std::string& text, size_t limit) {
  std::string valid = ReplaceInvalidUtf8(text);
  size_t characters = 0;
  for (size_t at = valid.size(); at > 0; --at) {
    if ((static_cast<unsigned char>(valid[at - 1]) & 0xC0) != 0x80 && ++characters == limit) {
      return at - 1 == 0 ? valid : valid.substr(at - 1);
    }
  }
  return valid;
}

// At most `limit` characters: the beginning, which names the exception, and the end, which tells most.
std::string CutMiddle(const std::string& text, size_t limit) {
  std::string end = KeepEnd(text, limit);
  if (end.size() == text.size()) return end;
  size_t beginning = limit / 4;
  return CutCharacters(text, beginning) + " … " + KeepEnd(text, limit - beginning - 3);
}

// Where the exception's own lines begin after the traceback that starts at `traceback`; npos when it was cut off.
size_t ExceptionAfter(const std::deque<std::string>& lines, size_t traceback) {
  for (size_t i = traceback + 1; i < lines.size(); ++i) {
    if (!IsIndented(lines[i])) return i;
  }
  return std::string::npos;
}

std::string LastWords(const std::deque<std::string>& lines) {
  for (size_t i = lines.size(); i-- > 0;) {
    if (!lines[i].starts_with("Traceback (most recent call last)")) continue;
    size_t exception = ExceptionAfter(lines, i);
    if (exception == std::string::npos) break;
    // A syntax error in an imported module has its place in the indented lines just above.
    size_t from = exception;
    if (lines[exception].starts_with("SyntaxError") || lines[exception].starts_with("IndentationError")) {
      from = exception - std::min<size_t>(exception - i - 1, 3);
    }
    return Join(lines, from);
  }
  for (size_t i = lines.size(); i-- > 0;) {
    // A script that does not compile has no traceback.
    if (lines[i].starts_with("  File \"") && i + 1 < lines.size()) return Join(lines, i);
  }
  return Join(lines, lines.size() - std::min(lines.size(), kPlainLines));
}

// What a server says that writes its log as JSON lines, as sagebrush-model-server does: its last error; "" for none.
std::string LoggedError(const std::deque<std::string>& lines) {
  for (size_t i = lines.size(); i-- > 0 && lines.size() - i <= kPlainLines;) {
    boost::system::error_code bad;
    boost::json::value line = boost::json::parse(lines[i], bad);
    if (bad || !line.is_object()) continue;
    const boost::json::value* level = line.get_object().if_contains("level");
    const boost::json::value* error = line.get_object().if_contains("error");
    bool told = level != nullptr && *level == "error" && error != nullptr && error->is_string();
    if (told) return std::string(error->get_string());
  }
  return "";
}

std::string Memory(int64_t bytes) { return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / (1 << 30)); }

}  // namespace

std::string SignalName(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? std::string("SIG") + name : std::to_string(signal);
}

std::string CutCharacters(std::string_view text, size_t limit) {
  std::string valid = ReplaceInvalidUtf8(text);
  size_t characters = 0, at = 0;
  for (; at < valid.size(); ++at) {
    if ((static_cast<unsigned char>(valid[at]) & 0xC0) != 0x80 && ++characters > limit) break;
  }
  valid.resize(at);
  while (!valid.empty() && (valid.back() == '\n' || valid.back() == ' ' || valid.back() == '\r')) valid.pop_back();
  return valid;
}

namespace {

std::string OutOfMemory(const char* what, const ProgramEnd& end) {
  return fmt::format(
      "OutOfMemory: the {} was killed for using more than the instance's memory ({}); take a larger "
      "instance type or a smaller batch",
      what, Memory(end.memory_limit_bytes));
}

// "" for an end by an exit code.
std::string ViolentEnd(const ProgramEnd& end) {
  if (end.out_of_memory) return OutOfMemory("program", end);
  if (end.signal != 0) return fmt::format("killed by signal {} ({})", end.signal, SignalName(end.signal));
  return "";
}

}  // namespace

void TakeShellSignal(ProgramEnd& end) {
  if (end.exit_code > 128 && end.exit_code <= 128 + SIGRTMAX) end.signal = end.exit_code - 128;
}

std::string ProgramFailure(const ProgramEnd& end, const std::deque<std::string>& last_lines,
                           const std::vector<std::string>& command, const std::string& origin) {
  std::string message = LastWords(last_lines);
  std::string what = ViolentEnd(end);
  if (!what.empty()) message = message.empty() ? what : what + "\n" + message;
  if (!origin.empty()) message.insert(0, origin + ": ");
  int code = end.signal != 0 ? 128 + end.signal : end.exit_code;
  // What happened stands first when a signal ended the program, last when it spoke for itself.
  message = !what.empty() ? CutCharacters(message, kMessageCharacters) : CutMiddle(message, kMessageCharacters);
  return CutCharacters(fmt::format("ExecuteUserScriptError:\nExitCode {}\nErrorMessage \"{}\"\nCommand \"{}\"", code,
                                   message, CutCharacters(JoinCommand(command), kCommandCharacters)),
                       kMaxFailureCharacters);
}

std::string ParameterServerFailure(const ProgramEnd& end, const std::deque<std::string>& last_lines) {
  std::string what = ViolentEnd(end);
  if (what.empty()) what = fmt::format("exit code {}", end.exit_code);
  return CutCharacters(fmt::format("ParameterServerError:\nThe parameter server that runs beside the program ended by "
                                   "itself ({}).\nErrorMessage \"{}\"",
                                   what, CutMiddle(LastWords(last_lines), kMessageCharacters)),
                       kMaxFailureCharacters);
}

std::string ServerFailure(const ProgramEnd& end, const std::deque<std::string>& last_lines) {
  std::string what = end.out_of_memory ? OutOfMemory("server", end)
                     : end.signal != 0
                         ? fmt::format("the server was killed by signal {} ({}) before it was stopped", end.signal,
                                       SignalName(end.signal))
                         : fmt::format("the server ended with exit code {} before it was stopped", end.exit_code);
  std::string words = LoggedError(last_lines);
  words = CutMiddle(words.empty() ? LastWords(last_lines) : words, kMessageCharacters);
  return CutCharacters(words.empty() ? what : what + ": " + words, kMaxFailureCharacters);
}

std::string InstallFailure(const std::string& file, int exit_code, const std::deque<std::string>& last_lines) {
  std::string errors;
  for (const std::string& line : last_lines) {
    if (line.starts_with("ERROR:") || line.starts_with("error:")) errors += (errors.empty() ? "" : "\n") + line;
  }
  if (errors.empty()) errors = Join(last_lines, last_lines.size() - std::min(last_lines.size(), kPlainLines));
  return CutCharacters(fmt::format("InstallRequirementsError:\nExitCode {}\nErrorMessage \"{}\"\nThe packages of {} "
                                   "could not be installed; correct the file, or look at the log for the whole output.",
                                   exit_code, KeepEnd(errors, kMessageCharacters), file),
                       kMaxFailureCharacters);
}

}  // namespace sagebrush::agent
