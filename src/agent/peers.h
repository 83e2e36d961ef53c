#pragma once

#include <optional>
#include <string>

#include "driver/driver.h"
#include "driver/sandbox/instance_files.h"

namespace sagebrush::agent {

std::string HostName(int rank);  // "algo-<rank + 1>"

// The other instances of this one's job. All are on one machine, each in its directory beside the others; what is known
// of one is what its agent wrote there.
class Peers {
 public:
  // `self` and `spec` are this instance's; the spec outlives this.
  Peers(driver::InstanceFiles self, const driver::InstanceSpec& spec) : self_(std::move(self)), spec_(&spec) {}

  int count() const { return spec_->count; }
  driver::InstanceFiles Files(int rank) const;
  // Whether that host's program has ended, or will never run.
  bool Ended(int rank) const;
  // Whether its program runs, or would if it had one of its own.
  bool Training(int rank) const;
  // Whether its program ended badly.
  bool Failed(int rank) const;
  // Whether that process is the agent of that host, now.
  bool IsAgent(int rank, pid_t process) const;
  // The host that a name or address stands for: algo-N, its address, or this host's own names; -1 for none of the
  // job's.
  int RankOf(const std::string& host) const;

 private:
  std::optional<driver::InstanceStatus> Status(int rank) const;

  driver::InstanceFiles self_;
  const driver::InstanceSpec* spec_;
};

}  // namespace sagebrush::agent
