#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "base/ids.h"

namespace sagebrush::control {

// Who may run: jobs are admitted in the order of their creation while the CPUs that they ask for fit. A job that asks
// for more than there is runs alone. Kept in memory, rebuilt at start from the admitted jobs. Thread-safe.
class Admission {
 public:
  explicit Admission(double capacity_vcpus) : capacity_vcpus_(capacity_vcpus) {}

  void Enqueue(const JobName& job, int64_t created_ms, double vcpus);
  // Whether the job is first in line and fits now.
  bool HasRoom(const JobName& job);
  void Admit(const JobName& job);
  // Gives the job's room or place in line back. Returns the job that is now first in line, "" for none.
  JobName Release(const JobName& job);

 private:
  struct Entry {
    int64_t created_ms = 0;
    double vcpus = 0;
    bool admitted = false;
  };
  const double capacity_vcpus_;
  std::mutex mutex_;
  std::map<JobName, Entry> entries_;                   // guarded by mutex_
  std::set<std::pair<int64_t, std::string>> waiting_;  // by creation; guarded by mutex_
  double used_vcpus_ = 0;                              // guarded by mutex_
};

}  // namespace sagebrush::control
