#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "domain/training_job_plan.h"
#include "driver/driver.h"

namespace sagebrush::control {

// What is known of the instances of running jobs, so that news of one instance costs one look and not one at each of a
// gang. Hints may be lost: whoever looks later than kFullLookMs after the last whole look gets another one. Kept in
// memory; a new one knows nothing and looks at everything. Thread-safe; Look blocks, and one thread at a time looks at
// a job.
class InstanceViews {
 public:
  static constexpr int64_t kFullLookMs = 400;

  explicit InstanceViews(driver::Driver& driver) : driver_(driver) {}

  // The instances of the attempt by rank, as they are now: those with news and, when `whole` or when it is time, all
  // that are not over. `ran`: the attempt has trained, so that an instance the driver does not know is lost.
  std::vector<domain::ObservedInstance> Look(const JobName& job, int attempt, int count, bool ran, bool whole);
  // An instance has news. How many ms later to look at the job: hints of a large gang are gathered, in proportion to
  // its size, as each look's planning is; nullopt when a look is due already.
  std::optional<int64_t> Hint(const JobName& job, int rank);
  // The caller itself has changed something about the instance.
  void Changed(const JobName& job, int rank);
  void Forget(const JobName& job);

 private:
  struct View {
    int attempt = 0;
    std::vector<domain::ObservedInstance> instances;
    std::set<int> news;
    int64_t looked_ms = 0;  // monotonic, of the last whole look
    bool look_due = false;
  };
  void Inspect(const InstanceId& id, bool ran, domain::ObservedInstance& seen);

  driver::Driver& driver_;
  std::mutex mutex_;
  std::map<JobName, View> views_;  // guarded by mutex_
};

}  // namespace sagebrush::control
