#include "serving/lifecycle/stand_back.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace sagebrush::serving {
namespace {

// The kernel's sched_attr in its first form (sched_setattr(2)); glibc's header and the kernel's exclude each other.
struct SchedulingAttributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};
static_assert(sizeof(SchedulingAttributes) == 48);

// A tenth of the weight of an ordinary thread, so that a load ends on a busy machine too.
constexpr int kNicer = 10;
constexpr int kNicest = 19;
// Since Linux 6.12 a thread whose slice is shorter takes the core from one whose slice is longer when it wakes up;
// otherwise it may have to wait for the end of the other's slice, 3 ms as a rule. Older systems take no notice.
constexpr uint64_t kSliceNs = 100'000'000;

}  // namespace

void StandBack() {
  SchedulingAttributes wanted{.size = sizeof wanted,
                              .policy = SCHED_BATCH,
                              .nice = std::min(kNicest, ::getpriority(PRIO_PROCESS, 0) + kNicer),
                              .runtime = kSliceNs};
  (void)::syscall(SYS_sched_setattr, 0, &wanted, 0);
}

}  // namespace sagebrush::serving
