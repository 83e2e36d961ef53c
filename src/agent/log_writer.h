#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/file.h"

namespace sagebrush::agent {

// Cuts what programs print into lines and appends them to the log spool: at once for a whole line, after a second of
// silence or 256 KiB for a piece of one. Time stamps never go back. Keeps the last lines for the failure text.
class LogWriter {
 public:
  // `written` is called after each append to the file.
  LogWriter(io::UniqueFd spool, std::function<void()> written);

  Result<void> Feed(std::string_view bytes);       // from the program
  Result<void> AppendLine(std::string_view line);  // from the agent itself; ends a piece of a line first
  Result<void> Flush();                            // the piece of a line, if there is one
  // When Flush is due, as MonotonicMs; 0 for never.
  int64_t flush_at_ms() const { return flush_at_ms_; }

  // The program's last lines, oldest first; Forget starts anew.
  const std::deque<std::string>& tail() const { return tail_; }
  void ForgetTail() { tail_.clear(); }
  // `observer` is shown each line of the program's from now on.
  void Observe(std::function<void(std::string_view)> observer) { observer_ = std::move(observer); }

 private:
  void Take(std::string_view line, bool remember, std::string& out);
  Result<void> Write(std::string_view records);
  int64_t Stamp();

  io::UniqueFd spool_;
  std::function<void()> written_;
  std::function<void(std::string_view)> observer_;
  std::string partial_;
  std::deque<std::string> tail_;
  int64_t flush_at_ms_ = 0, last_stamp_ms_ = 0;
};

}  // namespace sagebrush::agent
