#include "cli/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <cwchar>
#include <utility>

#include "base/text.h"

namespace sagebrush::cli {
namespace {

std::string LocalTime(int64_t epoch_ms, const char* form) {
  std::time_t seconds = epoch_ms / 1000;
  std::tm local{};
  localtime_r(&seconds, &local);
  std::array<char, 64> text{};
  size_t length = std::strftime(text.data(), text.size(), form, &local);
  return std::string(text.data(), length);
}

// One code point of valid UTF-8 at `at`, which it moves past it.
char32_t NextCodePoint(std::string_view text, size_t& at) {
  auto byte = static_cast<unsigned char>(text[at++]);
  int more = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : byte >= 0xC0 ? 1 : 0;
  char32_t point = more == 0 ? byte : byte & (0x3F >> more);
  for (; more > 0 && at < text.size(); --more) point = point << 6 | (static_cast<unsigned char>(text[at++]) & 0x3F);
  return point;
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

bool IsWide(char32_t point) {
  return (point >= 0x1100 && point <= 0x115F) || (point >= 0x2E80 && point <= 0xA4CF) ||
         (point >= 0xAC00 && point <= 0xD7A3) || (point >= 0xF900 && point <= 0xFAFF) ||
         (point >= 0xFE30 && point <= 0xFE6F) || (point >= 0xFF00 && point <= 0xFF60) ||
         (point >= 0x1F300 && point <= 0x1FAFF) || (point >= 0x20000 && point <= 0x3FFFD);
}

bool IsCombining(char32_t point) {
  return (point >= 0x0300 && point <= 0x036F) || (point >= 0x200B && point <= 0x200F) ||
         (point >= 0xFE00 && point <= 0xFE0F) || (point >= 0x20D0 && point <= 0x20FF);
}

}  // namespace

std::string ShellQuote(std::string_view text) {
  constexpr std::string_view kSafe = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:,@%+";
  if (!text.empty() && text.find_first_not_of(kSafe) == std::string_view::npos) return std::string(text);
  std::string quoted = "'";
  for (char c : text) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

std::string FormatDuration(int64_t milliseconds) {
  int64_t ms = std::max<int64_t>(milliseconds, 0);
  if (ms < 59'950) return fmt::format("{:.1f}s", static_cast<double>(ms) / 1000);
  int64_t seconds = (ms + 500) / 1000;
  if (seconds < 3600) return fmt::format("{}m {:02}s", seconds / 60, seconds % 60);
  int64_t minutes = seconds / 60;
  if (minutes < 24 * 60) return fmt::format("{}h {:02}m", minutes / 60, minutes % 60);
  return fmt::format("{}d {:02}h", minutes / (24 * 60), minutes / 60 % 24);
}

std::string FormatLocalTime(int64_t epoch_ms) { return LocalTime(epoch_ms, "%Y-%m-%d %H:%M:%S"); }

std::string FormatLocalTimeMs(int64_t epoch_ms) {
  return fmt::format("{}.{:03}", FormatLocalTime(epoch_ms), epoch_ms % 1000);
}

std::string FormatBytes(uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::optional<int64_t> ParseSince(std::string_view text, int64_t now_ms) {
  if (text.empty()) return std::nullopt;
  constexpr std::array<std::pair<char, int64_t>, 4> kUnits = {
      {{'s', 1000}, {'m', 60'000}, {'h', 3'600'000}, {'d', 86'400'000}}};
  for (auto [unit, factor] : kUnits) {
    if (text.back() != unit) continue;
    auto count = ParseInt(text.substr(0, text.size() - 1));
    if (!count || *count > now_ms / factor) return std::nullopt;
    return now_ms - *count * factor;
  }
  std::tm utc{};
  std::string copy(text);
  const char* rest = strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &utc);
  if (!rest || std::string_view(rest) != "Z") return std::nullopt;
  return static_cast<int64_t>(timegm(&utc)) * 1000;
}

size_t DisplayWidth(std::string_view text) {
  size_t width = 0;
  for (size_t at = 0; at < text.size();) {
    char32_t point = NextCodePoint(text, at);
    width += IsCombining(point) ? 0 : IsWide(point) ? 2 : 1;
  }
  return width;
}

std::string FormatTable(const std::vector<std::string>& heading, const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const std::string& cell : heading) widths.push_back(DisplayWidth(cell));
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], DisplayWidth(row[i]));
  }
  std::string text;
  auto append = [&](const std::vector<std::string>& row) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - DisplayWidth(row[i]) + 2, ' ');
    }
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
  };
  append(heading);
  for (const auto& row : rows) append(row);
  return text;
}

std::string FormatFields(const std::vector<Field>& fields) {
  size_t width = 0;
  for (const Field& field : fields) width = std::max(width, DisplayWidth(field.name));
  std::string text;
  for (const Field& field : fields) {
    text += "  " + field.name;
    text.append(width - DisplayWidth(field.name) + 2, ' ');
    text += field.value + "\n";
  }
  return text;
}

std::string FormatSection(std::string_view title, const std::vector<Field>& fields) {
  return fields.empty() ? std::string() : fmt::format("\n{}\n{}", title, FormatFields(fields));
}

std::string Printable(std::string_view text) {
  std::string visible;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7F) {
      visible += c == '\n' ? " " : fmt::format("\\x{:02x}", byte);
    } else {
      visible += c;
    }
  }
  return visible;
}

std::vector<std::string> Closest(std::string_view word, const std::vector<std::string>& candidates, size_t count) {
  std::vector<std::pair<size_t, size_t>> ranked;  // distance, place
  std::string wanted = ToLower(word);
  for (size_t place = 0; place < candidates.size(); ++place) {
    std::string lower = ToLower(candidates[place]);
    bool contains = !wanted.empty() && lower.find(wanted) != std::string::npos;
    size_t distance = contains ? 0 : EditDistance(wanted, lower);
    // A part of a name counts as close; otherwise at most two fifths of the longer one may differ.
    if (distance * 5 <= std::max(wanted.size(), lower.size()) * 2) ranked.emplace_back(distance, place);
  }
  std::ranges::sort(ranked);
  std::vector<std::string> closest;
  for (size_t i = 0; i < std::min(count, ranked.size()); ++i) closest.push_back(candidates[ranked[i].second]);
  return closest;
}

std::string WithoutUserInfo(std::string_view url) {
  size_t start = url.find("://");
  start = start == std::string_view::npos ? 0 : start + 3;
  size_t at = url.find('@', start);
  if (at == std::string_view::npos || url.find('/', start) < at) return std::string(url);
  return std::string(url.substr(0, start)) + "***" + std::string(url.substr(at));
}

}  // namespace sagebrush::cli
