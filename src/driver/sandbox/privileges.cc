#include "driver/sandbox/privileges.h"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sagebrush::driver {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kAuditArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kAuditArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "The system call filter is written for x86-64 and arm64."
#endif

// What installers and servers need over the instance's own ids. They count in its own user namespace alone, to which
// none of its mounts and networks belongs: outside of it the program has no capability at all.
constexpr int kKeptCapabilities[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FOWNER,  CAP_FSETID,          CAP_KILL,
                                     CAP_SETGID, CAP_SETUID,       CAP_SETPCAP, CAP_NET_BIND_SERVICE};

constexpr long kRefusedCalls[] = {
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_setns,
    SYS_unshare,
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_mount_setattr,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
    SYS_pidfd_getfd,
    SYS_process_madvise,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_clock_adjtime,
    SYS_acct,
    SYS_quotactl,
    SYS_syslog,
    SYS_vhangup,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_lookup_dcookie,
    SYS_fanotify_init,
#if defined(__x86_64__)
    SYS_kexec_file_load,
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
    SYS_uselib,
    SYS_ustat,
    SYS_sysfs,
#endif
};

class Filter {
 public:
  void Load(uint32_t offset) { code_.push_back({BPF_LD | BPF_W | BPF_ABS, 0, 0, offset}); }
  void Return(uint32_t action) { code_.push_back({BPF_RET | BPF_K, 0, 0, action}); }
  // When the test holds, the next statement runs; otherwise it is skipped.
  void When(uint16_t test, uint32_t value) {
    code_.push_back({static_cast<uint16_t>(BPF_JMP | test | BPF_K), 0, 1, value});
  }
  void Unless(uint16_t test, uint32_t value) {
    code_.push_back({static_cast<uint16_t>(BPF_JMP | test | BPF_K), 1, 0, value});
  }
  bool Install() {
    sock_fprog program{static_cast<unsigned short>(code_.size()), code_.data()};
    return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
  }

 private:
  std::vector<sock_filter> code_;
};

Result<void> InstallFilter() {
  Filter filter;
  filter.Load(offsetof(seccomp_data, arch));
  filter.Unless(BPF_JEQ, kAuditArchitecture);
  filter.Return(SECCOMP_RET_KILL_PROCESS);
  filter.Load(offsetof(seccomp_data, nr));
#if defined(__x86_64__)
  filter.When(BPF_JGE, 0x40000000u);  // the x32 calls are the same ones under other numbers
  filter.Return(SECCOMP_RET_ERRNO | ENOSYS);
#endif
  for (long call : kRefusedCalls) {
    filter.When(BPF_JEQ, static_cast<uint32_t>(call));
    filter.Return(SECCOMP_RET_ERRNO | EPERM);
  }
  filter.When(BPF_JEQ, SYS_clone3);
  filter.Return(SECCOMP_RET_ERRNO | ENOSYS);
  filter.Unless(BPF_JEQ, SYS_clone);
  filter.Return(SECCOMP_RET_ALLOW);
  filter.Load(offsetof(seccomp_data, args[0]));
  filter.When(BPF_JSET, CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
                            CLONE_NEWCGROUP);
  filter.Return(SECCOMP_RET_ERRNO | EPERM);
  filter.Return(SECCOMP_RET_ALLOW);
  return filter.Install() ? Result<void>{} : Fail(FromErrno(errno, "cannot install the system call filter"));
}

}  // namespace

Result<void> DropPrivileges() {
  uint64_t keep = 0;
  for (int capability : kKeptCapabilities) keep |= uint64_t{1} << capability;
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int capability = 0; capability < 64; ++capability) {
    if ((keep >> capability & 1) == 0 && ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) break;  // past the last
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  for (int half = 0; half < 2; ++half) {
    data[half].effective = data[half].permitted = static_cast<uint32_t>(keep >> (32 * half));
  }
  if (::syscall(SYS_capset, &header, data) != 0) return Fail(FromErrno(errno, "cannot drop capabilities"));
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Fail(FromErrno(errno, "cannot set no_new_privs"));
  return InstallFilter();
}

}  // namespace sagebrush::driver
