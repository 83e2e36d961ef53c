#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "io/file.h"

namespace sagebrush::driver {

struct ResourceLimits {
  double vcpus = 1;
  int64_t memory_bytes = 0;  // 0: no limit
  int64_t pids = 16'384;
};

// What a program runs in. Paths are the host's and appear at the same paths inside.
struct Environment {
  std::filesystem::path venv;                    // a Python environment; writable inside, unchanged outside
  std::vector<std::filesystem::path> read_only;  // e.g. the base interpreter's prefix, when a program cannot see it
  std::string note;  // printed as the first log line when what runs is not exactly what was asked for; "" for nothing
};

// One input channel in File mode.
struct Channel {
  std::string name;
  std::filesystem::path links;  // staged directory of hard links; becomes the lower layer of an overlay
};

// A staged directory that the program writes to and its starter reads from, also while the program runs.
struct Checkpoints {
  std::filesystem::path directory;  // outside; empty: the instance has none
  std::filesystem::path path;       // where it appears inside
};

// What an instance does that answers requests instead of training: the program listens on a port and runs until Stop.
struct Service {
  std::filesystem::path model_archive;  // staged model.tar.gz, unpacked into /opt/ml/model; empty: there is none
  // What to run, in the environment; it serves SageMaker's hosting contract. A bare name is looked up in the
  // environment's bin, then in PATH.
  std::vector<std::string> command;
  uint16_t port = 8080;      // of /ping and /invocations, inside
  std::string model_source;  // where the archive came from (an S3 URI), for messages; may be empty
};

// Everything an instance needs, complete before Start. Serialised as spec.json (driver/spec_json.h).
struct InstanceSpec {
  InstanceId id;
  JobName job;
  std::string job_arn;
  Epoch epoch;
  int rank = 0;   // host name algo-<rank + 1>
  int count = 1;  // instances of the job; all of one job reach each other by host name
  std::string instance_type;
  ResourceLimits limits;
  Environment environment;
  std::vector<Channel> channels;
  Checkpoints checkpoints;
  std::filesystem::path source_archive;                // staged sourcedir.tar.gz; empty when the job has none
  std::map<std::string, std::string> hyperparameters;  // exactly as in the request
  std::string input_data_config_json;                  // content of inputdataconfig.json
  std::string resource_config_json;                    // content of resourceconfig.json
  std::map<std::string, std::string> variables;  // environment variables: engine's (AWS_*, TRAINING_JOB_*), then user's
  std::vector<std::string> entrypoint, arguments;  // ContainerEntrypoint/Arguments; empty: the toolkit's contract
  std::filesystem::path commands;  // directory of commands shown to programs, first in their PATH; "" for none
  bool network_isolation = false;
  bool held = false;                    // when all is ready for the program, waits in kReady for Release
  bool compress_model = true;           // OutputDataConfig.CompressionType != NONE
  int64_t stop_grace_ms = 120'000;      // between SIGTERM and SIGKILL
  std::filesystem::path engine_socket;  // the engine's API, shown inside at kEngineEndpoint
  // Set: an instance of an endpoint. It has no source, entry point, hyperparameters, channels or checkpoints (Start
  // refuses them) and leaves no artifacts; it succeeds by ending after Stop, and by no other end.
  std::optional<Service> service;
};

// Where a program inside an instance finds the engine: a loopback address that no program binds by accident. It is
// also an HTTP(S) proxy to the outside unless the job is isolated.
inline constexpr char kEngineAddress[] = "127.83.66.1";
inline constexpr int kEnginePort = 9000;
inline constexpr char kEngineEndpoint[] = "http://127.83.66.1:9000";

// 1 → 2 → 3 (when held) → 4 → 5 → 6; 7 from any of 1 to 5. Ended and Lost are final.
enum class Phase {
  kStarting,     // 1 namespaces, mounts
  kDownloading,  // 2 source archive, requirements
  kReady,        // 3 the program could begin; waits for Release
  kTraining,     // 4 the program runs (of a service: it may not listen yet)
  kUploading,    // 5 archives are being made (never of a service)
  kEnded,        // 6 the outcome is durable
  kLost,         // 7 the agent died without an outcome (killed, power cut)
};

struct InstanceStatus {
  InstanceId id;
  Epoch epoch;
  Phase phase = Phase::kStarting;
  // Wall clock; 0 = not yet, or never (ready_ms of an instance that is not held).
  int64_t started_ms = 0, ready_ms = 0, training_started_ms = 0, training_ended_ms = 0, ended_ms = 0;
  // Set in kEnded:
  bool succeeded = false;
  bool stopped = false;                  // Stop was asked for before the program ended
  int exit_code = 0;                     // of the program; 0 when a signal ended it
  int signal = 0;                        // that ended it, or 0
  bool out_of_memory = false;            // the memory limit killed it
  bool machine_failed = false;           // the instance broke, not its program; failure_reason says how
  std::string failure_reason;            // "" when it succeeded; at most 1024 characters, the program's own last words
  std::filesystem::path model_archive;   // model.tar.gz, or a directory (compress_model false); empty: it left none
  std::filesystem::path output_archive;  // output.tar.gz, empty when there was nothing in output/data
};

struct LogRecord {
  int64_t timestamp_ms = 0;
  std::string line;  // without its line end; valid UTF-8
};
struct LogChunk {
  std::vector<LogRecord> records;
  uint64_t next_offset = 0;  // where to read on; equal to the request's offset when nothing is new
};

struct InstanceUsage {
  int64_t cpu_ns = 0;        // processor time that its programs have used since they began
  int64_t memory_bytes = 0;  // in use now, without file cache that could be dropped
  int64_t disk_bytes = 0;    // that it has written and still holds; without channels and checkpoints
};

struct StopRequest {
  Epoch epoch;
  std::string reason;  // for the log: "StopTrainingJob", "MaxRuntimeExceeded"
};

// What a hint is about.
enum class News { kStatus, kLog };
using Listener = std::function<void(const InstanceId&, News)>;

// One thing a driver needs from the machine, for `sagebrush doctor`.
struct Requirement {
  std::string name;
  bool met = false;
  bool mandatory = true;
  std::string detail;  // what was found
  std::string remedy;  // the command or setting that mends it; "" when met
};

// Runs instances. Thread-safe; calls block for milliseconds. Obligations on an implementation, checked by the
// conformance kit (driver/conformance.h):
//  1. Start is idempotent on the id: with an id that was started before it changes nothing and succeeds, also when
//     that instance has ended, until Destroy. After a crash at any moment during Start, a second Start with the same
//     spec brings about exactly one instance.
//  2. An instance outlives the process that called Start. List and Inspect of a new process find it.
//  3. Inspect tells the truth of the moment: an instance whose agent is gone without an outcome is kLost. An id never
//     started (or destroyed) is kNotFound.
//  4. What the program printed is complete in ReadLog once the phase is kEnded, in order, and stays until Destroy.
//  5. Stop returns at once: SIGTERM to the program, SIGKILL after the grace. Stopping an ended instance succeeds.
//  6. Destroy frees everything; a running instance is killed first. Destroying an unknown id succeeds.
//  7. Start, Stop and Release with an epoch lower than one seen for that id are refused (kFailedPrecondition).
//  8. The listener is called (from any thread) soon after a status or log change and says which it was; calls may be
//     lost or repeated. Lines alone bring no call of kStatus.
//  9. A held instance begins its program only after Release, which is remembered: it may come at any time after Start,
//     and again. Release of an instance that is not held, or has ended, succeeds.
// 10. What stands in Checkpoints.directory at Start is there inside, and what the program writes there is seen outside
//     at once; it stays until Destroy, also of a lost instance.
// 11. Connect reaches what listens inside a running instance, whatever its network; the connection is the caller's and
//     costs nothing more than one of the instance's own.
// 12. Usage tells what a running instance uses; of one that is over, or unknown, it is kNotFound.
class Driver {
 public:
  virtual ~Driver() = default;
  virtual std::vector<Requirement> Fingerprint() = 0;
  virtual Result<void> Start(const InstanceSpec& spec) = 0;
  virtual Result<std::vector<InstanceStatus>> List() = 0;
  virtual Result<InstanceStatus> Inspect(const InstanceId& id) = 0;
  // Complete lines from `offset` of the instance's log, about `limit_bytes` of them.
  virtual Result<LogChunk> ReadLog(const InstanceId& id, uint64_t offset, size_t limit_bytes) = 0;
  virtual Result<void> Stop(const InstanceId& id, const StopRequest& request) = 0;
  virtual Result<void> Release(const InstanceId& id, Epoch epoch) = 0;
  virtual Result<void> Destroy(const InstanceId& id) = 0;
  // A new stream connection to 127.0.0.1:port inside, non-blocking, without delay of small packets. kUnavailable while
  // nothing listens there, or nothing runs. It outlives the instance as any connection outlives its peer.
  virtual Result<io::UniqueFd> Connect(const InstanceId& id, uint16_t port) = 0;
  // Replaces the listener (null: none). When this returns no call of the one before is under way; a listener does not
  // call it.
  virtual void SetListener(Listener listener) = 0;
  // A directory on the file system of the instances' work directories, where the caller stages channels.
  virtual std::filesystem::path StagingDirectory(const InstanceId& id) const = 0;
  virtual Result<InstanceUsage> Usage(const InstanceId& id) = 0;
};

}  // namespace sagebrush::driver
