#include "base/log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>

#include "base/clock.h"
#include "base/text.h"

namespace sagebrush {
namespace {

std::atomic<LogLevel> minimum_level{LogLevel::kInfo};

std::string_view Name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "info";
}

}  // namespace

std::string JsonEscape(std::string_view text) {
  std::string valid = ReplaceInvalidUtf8(text);
  std::string out;
  out.reserve(valid.size() + 8);
  for (char c : valid) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
  return out;
}

std::string LogField::Key(std::string_view key) { return fmt::format(",\"{}\":", JsonEscape(key)); }

LogField::LogField(std::string_view key, std::string_view value) : json_(Key(key)) {
  json_ += fmt::format("\"{}\"", JsonEscape(value));
}

void SetLogLevel(LogLevel minimum) { minimum_level = minimum; }

bool LogEnabled(LogLevel level) { return level >= minimum_level.load(std::memory_order_relaxed); }

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  std::string line = fmt::format("{{\"time\":\"{}\",\"level\":\"{}\",\"event\":\"{}\"", FormatIso8601(WallClockMs()),
                                 Name(level), JsonEscape(event));
  for (const LogField& field : fields) line += field.json();
  line += "}\n";
  // A log line that cannot be written has nowhere to be reported.
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace sagebrush
