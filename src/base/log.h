#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace sagebrush {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// One field of a log line. Values are JSON strings, integers or booleans; never put a secret into one.
class LogField {
 public:
  LogField(std::string_view key, std::string_view value);
  LogField(std::string_view key, const std::string& value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, const char* value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, std::integral auto value) : json_(Key(key)) { json_ += std::to_string(value); }
  LogField(std::string_view key, bool value) : json_(Key(key)) { json_ += value ? "true" : "false"; }

  const std::string& json() const { return json_; }

 private:
  static std::string Key(std::string_view key);
  std::string json_;
};

// Writes one JSON line {"time":…,"level":…,"event":…,fields…} to standard error with a single write(2).
// `event` is a short stable name (snake_case) that people grep for. Thread-safe; never fails.
void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});
void SetLogLevel(LogLevel minimum);
// Whether lines of that level are written: for callers whose fields cost something on a busy path.
bool LogEnabled(LogLevel level);

// `text` as the inside of a JSON string: quotes, backslashes and control characters escaped; invalid UTF-8 replaced.
std::string JsonEscape(std::string_view text);

}  // namespace sagebrush
