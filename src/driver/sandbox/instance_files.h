#pragma once

#include <sys/types.h>
#include <sys/un.h>

#include <filesystem>
#include <optional>
#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "driver/driver.h"
#include "io/file.h"

// What lies where in the directory of one instance, and how one process recognises another by it.
namespace sagebrush::driver {

// INSTANCES/<id>/ …
struct InstanceFiles {
  std::filesystem::path directory;

  std::filesystem::path spec() const { return directory / "spec.json"; }       // durable, by Start
  std::filesystem::path status() const { return directory / "status.json"; }   // by the agent
  std::filesystem::path epoch() const { return directory / "epoch"; }          // highest epoch seen
  std::filesystem::path stop() const { return directory / "stop.json"; }       // by Stop; the agent watches for it
  std::filesystem::path release() const { return directory / "release"; }      // by Release; likewise
  std::filesystem::path lock() const { return directory / "lock"; }            // OFD lock held by the agent for life
  std::filesystem::path processes() const { return directory / "processes"; }  // who they are, see ProcessIdentity
  std::filesystem::path log() const { return directory / "log"; }              // the spool, see driver/log_spool.h
  std::filesystem::path agent_log() const { return directory / "agent.log"; }  // the agent's own messages
  std::filesystem::path reserve() const { return directory / "reserve"; }      // freed when the disk is full
  // connect.sock: see connect_socket.h · remote.sock: see agent/remote_shell.h
  std::filesystem::path staged() const { return directory / "staged"; }  // the engine's
  std::filesystem::path ml() const { return directory / "ml"; }          // /opt/ml
  std::filesystem::path root() const { return directory / "root"; }      // overlay layers and mount points
  std::filesystem::path artifacts() const { return directory / "artifacts"; }
};

// A hint of an agent, one datagram to hints.sock: one of these, a space, and the instance's id.
inline constexpr char kStatusHint[] = "status";
inline constexpr char kLogHint[] = "log";

// A process that cannot be mistaken for another with the same number: pid and start time (field 22 of its stat).
struct ProcessIdentity {
  pid_t pid = 0;
  uint64_t start_time = 0;

  std::string ToString() const;
  static std::optional<ProcessIdentity> Parse(std::string_view text);
  static ProcessIdentity Of(pid_t pid);  // start_time 0 when there is no such process
};

// A pidfd of exactly that process; an empty one when it is gone.
io::UniqueFd OpenProcess(const ProcessIdentity& identity);
// SIGKILL, then waits until the process and (for the init of a PID namespace) all below it are gone.
Result<void> KillAndWait(const ProcessIdentity& identity, int deadline_ms);

// "Is it alive?" without races of process numbers: a lock on an open file lives as long as its holder.
Result<io::UniqueFd> TryLock(const std::filesystem::path& file);  // kFailedPrecondition when another holds it
bool IsLocked(const std::filesystem::path& file);

// The address of a Unix socket in an open directory (O_PATH will do): an address holds 107 characters only, and a
// directory's path may have more. The name must be short.
sockaddr_un UnixAddressIn(int directory, const std::string& name);

// The job's part of an id: instances of one attempt share it. "<job>.<attempt>" for "<job>.<attempt>.<rank>".
std::string JobKey(const InstanceId& id);

// rm -rf that also passes directories whose owner took all permissions from them.
Result<void> RemoveStubbornTree(const std::filesystem::path& path);

}  // namespace sagebrush::driver
