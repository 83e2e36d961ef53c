#include "control/admission.h"

namespace sagebrush::control {

void Admission::Enqueue(const JobName& job, int64_t created_ms, double vcpus) {
  std::lock_guard lock(mutex_);
  if (!entries_.try_emplace(job, Entry{created_ms, vcpus, false}).second) return;
  waiting_.emplace(created_ms, job.value());
}

bool Admission::HasRoom(const JobName& job) {
  std::lock_guard lock(mutex_);
  auto found = entries_.find(job);
  if (found == entries_.end() || found->second.admitted) return false;
  if (waiting_.begin()->second != job.value()) return false;
  return used_vcpus_ == 0 || used_vcpus_ + found->second.vcpus <= capacity_vcpus_;
}

void Admission::Admit(const JobName& job) {
  std::lock_guard lock(mutex_);
  auto found = entries_.find(job);
  if (found == entries_.end() || found->second.admitted) return;
  found->second.admitted = true;
  used_vcpus_ += found->second.vcpus;
  waiting_.erase({found->second.created_ms, job.value()});
}

JobName Admission::Release(const JobName& job) {
  std::lock_guard lock(mutex_);
  auto found = entries_.find(job);
  if (found != entries_.end()) {
    if (found->second.admitted) used_vcpus_ -= found->second.vcpus;
    waiting_.erase({found->second.created_ms, job.value()});
    entries_.erase(found);
    bool any_admitted = false;
    for (const auto& [name, entry] : entries_) any_admitted |= entry.admitted;
    if (!any_admitted) used_vcpus_ = 0;  // no rounding rest
  }
  return waiting_.empty() ? JobName() : JobName(waiting_.begin()->second);
}

}  // namespace sagebrush::control
