#include "agent/log_writer.h"

#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/text.h"
#include "driver/log_spool.h"

namespace sagebrush::agent {
namespace {

constexpr int64_t kIdleMs = 1000;
constexpr size_t kTailLines = 200;
constexpr size_t kTailLineBytes = 4096;

// Valid UTF-8 without NUL bytes; a line end of two characters counts as one.
std::string Sanitise(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  std::string out = ReplaceInvalidUtf8(line);
  for (size_t at = out.find('\0'); at != std::string::npos; at = out.find('\0', at)) out.replace(at, 1, "\xEF\xBF\xBD");
  return out;
}

// The length of `text` without a character that the cut at its end split.
size_t WholeCharacters(std::string_view text) {
  size_t length = text.size();
  for (size_t back = 1; back <= 3 && back < length; ++back) {
    auto byte = static_cast<unsigned char>(text[length - back]);
    if ((byte & 0xC0) == 0x80) continue;
    size_t needed = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return needed > back ? length - back : length;
  }
  return length;
}

}  // namespace

LogWriter::LogWriter(io::UniqueFd spool, std::function<void()> written)
    : spool_(std::move(spool)), written_(std::move(written)) {}

int64_t LogWriter::Stamp() { return last_stamp_ms_ = std::max(last_stamp_ms_, WallClockMs()); }

void LogWriter::Take(std::string_view line, bool remember, std::string& out) {
  std::string clean = Sanitise(line);
  driver::AppendLogRecord(out, Stamp(), clean);
  if (!remember) return;
  if (observer_) observer_(clean);
  if (clean.size() > kTailLineBytes) clean.resize(WholeCharacters(std::string_view(clean).substr(0, kTailLineBytes)));
  tail_.push_back(std::move(clean));
  if (tail_.size() > kTailLines) tail_.pop_front();
}

Result<void> LogWriter::Feed(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    size_t end = bytes.find('\n');
    size_t room = driver::kMaxLogLineBytes - partial_.size();
    size_t take = std::min({end == std::string_view::npos ? bytes.size() : end, room, bytes.size()});
    partial_.append(bytes.substr(0, take));
    bytes.remove_prefix(take);
    if (!bytes.empty() && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      Take(partial_, true, out);
      partial_.clear();
    } else if (partial_.size() >= driver::kMaxLogLineBytes) {
      size_t whole = WholeCharacters(partial_);
      Take(std::string_view(partial_).substr(0, whole), true, out);
      partial_.erase(0, whole);
    }
  }
  flush_at_ms_ = partial_.empty() ? 0 : MonotonicMs() + kIdleMs;
  return Write(out);
}

Result<void> LogWriter::AppendLine(std::string_view line) {
  TRYV(Flush());
  std::string out;
  for (std::string_view part : Split(line, '\n')) Take(part, false, out);
  return Write(out);
}

Result<void> LogWriter::Flush() {
  flush_at_ms_ = 0;
  if (partial_.empty()) return {};
  std::string out;
  Take(partial_, true, out);
  partial_.clear();
  return Write(out);
}

Result<void> LogWriter::Write(std::string_view records) {
  if (records.empty()) return {};
  FAILPOINT("agent.log.before_append");
  off_t before = ::lseek(spool_.get(), 0, SEEK_END);
  Result<void> written = io::WriteAll(spool_.get(), records);
  if (!written) {
    // Half a record would hide everything after it from readers.
    if (before >= 0 && ::ftruncate(spool_.get(), before) != 0) return written;
    return Fail(std::move(written).error().Because("The log cannot be stored"));
  }
  FAILPOINT("agent.log.after_append");
  written_();
  return {};
}

}  // namespace sagebrush::agent
