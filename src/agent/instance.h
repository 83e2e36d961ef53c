#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "agent/inside.h"
#include "agent/instance_loop.h"
#include "agent/log_writer.h"
#include "agent/mpi.h"
#include "agent/peers.h"
#include "agent/tensorflow_cluster.h"
#include "agent/toolkit.h"
#include "driver/driver.h"

namespace sagebrush::agent {

// The life of one instance, from its spec to its outcome:
//   1 Starting → 2 Downloading → 3 Ready (when held) → 4 Training → 5 Uploading → 6 Ended
// A failure or a stop skips to 5 when the program has run, to 6 otherwise. An instance that serves leaves out 5, has
// the model in place of the source, and is done when it was stopped. Single-threaded.
class Instance {
 public:
  Instance(AgentOptions options, driver::InstanceSpec spec);

  void Run();

 private:
  Result<void> Start();
  Result<void> OpenFiles();
  Result<void> MakeWorkspace();
  Result<void> WriteConfiguration(std::vector<std::filesystem::path>& made);
  Result<void> Build();
  Result<void> OpenArchives();
  Result<void> Download();
  Result<void> DownloadSource();
  Result<void> DownloadModel();
  Result<void> Install(const std::string& file, std::vector<std::string> pip_arguments);
  Result<void> AwaitRelease();
  Result<void> Train();
  void EndService();
  void Upload();
  void TakeModel();
  void TakeOutput();
  void Finish();

  Result<boost::json::object> Task(const std::string& name);
  Result<void> StartParameterServer();
  Result<int> LeaveCluster(int wait_status);
  bool OtherHostsEnded() const;
  int64_t LeaveMs() const;
  Result<int> RunMpi();
  Result<int> Launch();
  std::string FailureText() const;
  const char* WorkingDirectory() const {
    return UsesToolkit(spec_) || !spec_.source_archive.empty() ? "/opt/ml/code" : "/";
  }
  Result<int> Execute(const std::vector<std::string>& argv, const std::string& directory);
  Result<int> RunToItsEnd(const std::vector<std::string>& argv, const std::string& directory);
  Result<void> KillTheRest();
  void SetPhase(driver::Phase phase, bool durable);
  void FailWith(const std::string& reason);
  void Say(const std::string& line);
  void Hint(const char* news);

  AgentOptions options_;
  driver::InstanceSpec spec_;
  driver::InstanceFiles files_;
  Peers peers_;
  driver::InstanceStatus status_;
  Hyperparameters hyperparameters_;
  ClusterLayout layout_ = ClusterLayout::kNone;
  std::vector<int> cluster_;  // the ranks of its hosts, of parameter servers and MPI; "host 1" is the first
  std::optional<MpiSettings> mpi_;
  MpiOutput mpi_output_;
  std::vector<std::string> environment_, command_;
  std::unique_ptr<LogWriter> log_;
  std::unique_ptr<driver::Sandbox> sandbox_;
  std::unique_ptr<InstanceLoop> loop_;
  io::UniqueFd hint_socket_, hint_directory_, source_, model_, output_;
  bool trained_ = false;
};

}  // namespace sagebrush::agent
