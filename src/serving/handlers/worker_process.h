#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/file.h"

namespace sagebrush::serving {

struct WorkerCommand {
  std::string python = "python3";                  // looked up in PATH
  std::filesystem::path script;                    // the user's inference.py
  std::filesystem::path directory;                 // where it runs
  std::vector<std::filesystem::path> python_path;  // put before PYTHONPATH
};

// One Python process that runs a user's handlers, in a process group of its own. It inherits the server's standard
// output and error (the log), and dies with the thread that started it. Destruction closes its socket, at which it
// ends, and kills what is left of its group after a second.
class WorkerProcess {
 public:
  // Returns once the process is started; its first message says whether the script could be used.
  static Result<std::unique_ptr<WorkerProcess>> Start(const WorkerCommand& command);
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;

  int socket() const { return socket_.get(); }
  int pidfd() const { return pidfd_.get(); }
  pid_t id() const { return id_; }
  bool ended() const;
  // Ends it now. How it ended: "exit code 3", "signal 9 (Killed)".
  std::string Kill();

 private:
  WorkerProcess(pid_t id, io::UniqueFd socket, io::UniqueFd pidfd)
      : id_(id), socket_(std::move(socket)), pidfd_(std::move(pidfd)) {}

  pid_t id_;
  io::UniqueFd socket_, pidfd_;
  bool reaped_ = false;
};

}  // namespace sagebrush::serving
