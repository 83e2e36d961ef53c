#include "driver/log_spool.h"

#include <fcntl.h>

#include <algorithm>

#include "base/text.h"
#include "io/file.h"

namespace sagebrush::driver {
namespace {

// Each bad byte of a line may have become three, and the header is short.
constexpr size_t kMaxRecordBytes = 3 * kMaxLogLineBytes + 64;

}  // namespace

void AppendLogRecord(std::string& spool, int64_t timestamp_ms, std::string_view line) {
  spool += std::to_string(timestamp_ms);
  spool += ' ';
  spool += std::to_string(line.size());
  spool += '\n';
  spool += line;
  spool += '\n';
}

Result<LogChunk> ParseLogRecords(std::string_view bytes, uint64_t offset) {
  LogChunk chunk;
  size_t at = 0;
  auto damaged = [&] {
    return Fail(Error(ErrorKind::kDataLoss,
                      "the log has no record at byte " + std::to_string(offset + at) + "; read it from the start."));
  };
  while (at < bytes.size()) {
    size_t line_end = bytes.find('\n', at);
    if (line_end == std::string_view::npos) {
      if (bytes.size() - at > 48) return damaged();
      break;
    }
    std::string_view header = bytes.substr(at, line_end - at);
    size_t space = header.find(' ');
    if (space == std::string_view::npos) return damaged();
    std::optional<int64_t> timestamp = ParseInt(header.substr(0, space)), length = ParseInt(header.substr(space + 1));
    if (!timestamp || !length || static_cast<size_t>(*length) > kMaxRecordBytes) return damaged();
    size_t body = line_end + 1, size = static_cast<size_t>(*length);
    if (body + size + 1 > bytes.size()) break;
    if (bytes[body + size] != '\n') return damaged();
    chunk.records.push_back({*timestamp, std::string(bytes.substr(body, size))});
    at = body + size + 1;
  }
  chunk.next_offset = offset + at;
  return chunk;
}

Result<LogChunk> ReadLogSpool(const std::filesystem::path& file, uint64_t offset, size_t limit_bytes) {
  Result<io::UniqueFd> fd = io::Open(file, O_RDONLY);
  if (!fd) {
    if (fd.error().kind == ErrorKind::kNotFound) return LogChunk{{}, offset};
    return Fail(std::move(fd).error());
  }
  TRY(std::string bytes, io::ReadAt(fd->get(), offset, std::clamp<size_t>(limit_bytes, 4096, 16 << 20)));
  TRY(LogChunk chunk, ParseLogRecords(bytes, offset));
  if (!chunk.records.empty() || bytes.empty()) return chunk;
  // The next record is longer than the limit.
  TRY(bytes, io::ReadAt(fd->get(), offset, kMaxRecordBytes));
  return ParseLogRecords(bytes, offset);
}

}  // namespace sagebrush::driver
