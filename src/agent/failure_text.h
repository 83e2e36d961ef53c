#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace sagebrush::agent {

inline constexpr size_t kMaxFailureCharacters = 1024;

struct ProgramEnd {
  int exit_code = 0;
  int signal = 0;
  bool out_of_memory = false;
  int64_t memory_limit_bytes = 0;
};

// A shell, and mpirun, tell of a program's signal by an exit code: as the signal that it stands for.
void TakeShellSignal(ProgramEnd& end);

// The reason in the hosted toolkit's form: ExecuteUserScriptError, ExitCode, ErrorMessage "…", Command "…". The message
// is the end of the program's own output: the exception of the last traceback, or a syntax error with its line, or
// else the last lines; a signal is named. `origin` says which of several processes it was; "" for the program itself.
std::string ProgramFailure(const ProgramEnd& end, const std::deque<std::string>& last_lines,
                           const std::vector<std::string>& command, const std::string& origin = "");
// Why a job fails whose parameter server on this host ended by itself.
std::string ParameterServerFailure(const ProgramEnd& end, const std::deque<std::string>& last_lines);
// Why an endpoint's instance ended that nobody stopped: how, and the server's last words, which are as above or the
// last error of a log of JSON lines.
std::string ServerFailure(const ProgramEnd& end, const std::deque<std::string>& last_lines);
// Why `pip install` of `file` failed: its last ERROR lines.
std::string InstallFailure(const std::string& file, int exit_code, const std::deque<std::string>& last_lines);

// At most that many characters (not bytes), invalid UTF-8 replaced, without white space at the end.
std::string CutCharacters(std::string_view text, size_t limit);
std::string SignalName(int signal);  // "SIGSEGV"

}  // namespace sagebrush::agent
