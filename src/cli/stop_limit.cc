#include "cli/stop_limit.h"

#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

namespace sagebrush::cli {
namespace {

std::atomic<const char*> reached = "requests";

// A signal handler: async-signal-safe calls only, so the line is put together by hand.
void GiveUp(int) {
  const char* part = reached.load();
  iovec pieces[] = {{const_cast<char*>("{\"level\":\"error\",\"event\":\"engine_stop_overdue\",\"stopping\":\""), 0},
                    {const_cast<char*>(part), 0},
                    {const_cast<char*>("\"}\n"), 0}};
  for (iovec& piece : pieces) piece.iov_len = std::strlen(static_cast<const char*>(piece.iov_base));
  [[maybe_unused]] ssize_t written = ::writev(STDERR_FILENO, pieces, 3);
  ::_exit(1);
}

}  // namespace

void BeginStopLimit(std::chrono::seconds limit) {
  ::signal(SIGALRM, GiveUp);
  ::alarm(static_cast<unsigned>(limit.count()));
}

void StopReaches(const char* part) { reached = part; }

}  // namespace sagebrush::cli
