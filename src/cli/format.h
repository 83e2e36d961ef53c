#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sagebrush::cli {

// `text` as one word of a POSIX shell, safe inside eval.
std::string ShellQuote(std::string_view text);

std::string FormatDuration(int64_t milliseconds);  // 0.4s, 12.3s, 2m 05s, 1h 02m, 3d 04h
std::string FormatLocalTime(int64_t epoch_ms);     // 2026-01-31 12:34:56, in the user's time zone
std::string FormatLocalTimeMs(int64_t epoch_ms);   // 2026-01-31 12:34:56.789
std::string FormatBytes(uint64_t bytes);           // 512 B, 1.5 GiB

// A duration or point in time of --since: "90s", "10m", "2h", "1d", or an ISO 8601 UTC time such as
// 2026-01-31T12:34:56Z. Milliseconds since the epoch; nullopt for anything else.
std::optional<int64_t> ParseSince(std::string_view text, int64_t now_ms);

// Columns of a terminal that UTF-8 text takes; combining marks and wide characters as wcwidth says.
size_t DisplayWidth(std::string_view text);

// Rows under a heading, columns padded to the widest cell and two spaces apart; no spaces at line ends.
std::string FormatTable(const std::vector<std::string>& heading, const std::vector<std::vector<std::string>>& rows);

// A name and its value, on a line of its own.
struct Field {
  std::string name, value;
};
// Indented lines, the values under each other.
std::string FormatFields(const std::vector<Field>& fields);
// The same under an empty line and a title; nothing without fields.
std::string FormatSection(std::string_view title, const std::vector<Field>& fields);

// Control characters made visible (a job's name or message must not steer the terminal); tabs stay.
std::string Printable(std::string_view text);

// Up to `count` of `candidates` that someone who typed `word` may have meant, closest first.
std::vector<std::string> Closest(std::string_view word, const std::vector<std::string>& candidates, size_t count);

// "http://user:secret@host" → "http://***@host".
std::string WithoutUserInfo(std::string_view url);

}  // namespace sagebrush::cli
