#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "driver/driver.h"

// The form of an instance's log file: records "<timestamp ms> <length>\n<line>\n", append-only, readable by eye. A
// record counts once its last byte is there, so a tail torn by a crash is never seen by a reader.
namespace sagebrush::driver {

inline constexpr size_t kMaxLogLineBytes = 256 * 1024;

// `line` must be valid UTF-8 without line end, at most kMaxLogLineBytes before sanitising made it longer.
void AppendLogRecord(std::string& spool, int64_t timestamp_ms, std::string_view line);

// The complete records at the start of `bytes`, which were read at `offset`. kDataLoss when they are no records.
Result<LogChunk> ParseLogRecords(std::string_view bytes, uint64_t offset);

// From the file: about `limit_bytes` of records, at least one when a whole one is there.
Result<LogChunk> ReadLogSpool(const std::filesystem::path& file, uint64_t offset, size_t limit_bytes);

}  // namespace sagebrush::driver
