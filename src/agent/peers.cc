#include "agent/peers.h"

#include "base/text.h"
#include "driver/spec_json.h"

namespace sagebrush::agent {
namespace {

// As in every instance's /etc/hosts.
std::string AddressOf(int rank) {
  return "10.77." + std::to_string((rank + 1) >> 8) + "." + std::to_string((rank + 1) & 255);
}

}  // namespace

std::string HostName(int rank) { return "algo-" + std::to_string(rank + 1); }

driver::InstanceFiles Peers::Files(int rank) const {
  return driver::InstanceFiles{self_.directory.parent_path() /
                               (driver::JobKey(spec_->id) + "." + std::to_string(rank))};
}

// Lost, when its agent is gone; nullopt when it has not begun yet.
std::optional<driver::InstanceStatus> Peers::Status(int rank) const {
  driver::InstanceFiles host = Files(rank);
  bool alive = driver::IsLocked(host.lock());  // looked at first: an agent writes its outcome before it lets go
  Result<std::string> text = io::ReadFile(host.status());
  if (!text) return std::nullopt;
  Result<driver::InstanceStatus> status = driver::StatusFromJson(*text);
  if (!status) return std::nullopt;
  if (!alive && status->phase != driver::Phase::kEnded) status->phase = driver::Phase::kLost;
  return *std::move(status);
}

bool Peers::Ended(int rank) const {
  std::optional<driver::InstanceStatus> status = Status(rank);
  return status && (status->phase >= driver::Phase::kUploading || status->training_ended_ms != 0);
}

bool Peers::Training(int rank) const {
  std::optional<driver::InstanceStatus> status = Status(rank);
  return status && status->phase == driver::Phase::kTraining;
}

bool Peers::Failed(int rank) const {
  std::optional<driver::InstanceStatus> status = Status(rank);
  return status && (status->exit_code != 0 || status->signal != 0);
}

bool Peers::IsAgent(int rank, pid_t process) const {
  if (rank < 0 || rank >= spec_->count || process <= 0) return false;
  driver::InstanceFiles host = Files(rank);
  Result<std::string> text = io::ReadFile(host.processes());
  if (!text || !driver::IsLocked(host.lock())) return false;
  std::optional<driver::ProcessIdentity> agent = driver::ProcessIdentity::Parse(Split(*text, '\n').front());
  return agent && agent->pid == process && agent->start_time != 0 &&
         agent->start_time == driver::ProcessIdentity::Of(process).start_time;
}

int Peers::RankOf(const std::string& host) const {
  if (host == "localhost" || host == "127.0.0.1" || host == "::1") return spec_->rank;
  for (int rank = 0; rank < spec_->count; ++rank) {
    if (host == HostName(rank) || host == AddressOf(rank)) return rank;
  }
  return -1;
}

}  // namespace sagebrush::agent
