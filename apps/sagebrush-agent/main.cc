// sagebrush-agent --instance DIRECTORY [--uid N --gid N] [--hide DIRECTORY]…
// Started by the sandbox driver; not for people.

#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "agent/agent.h"
#include "base/text.h"

int main(int argc, char** argv) {
  ::close_range(3, ~0u, 0);  // whatever the engine has open is not this process's to keep open
  sagebrush::agent::AgentOptions options;
  auto usage = [&] {
    std::fprintf(stderr, "usage: %s --instance DIRECTORY [--uid N] [--gid N] [--hide DIRECTORY]...\n", argv[0]);
    return 2;
  };
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string_view flag = argv[i], value = argv[i + 1];
    std::optional<int64_t> number = sagebrush::ParseInt(value);
    if (flag == "--instance") {
      options.instance_directory = value;
    } else if (flag == "--hide") {
      options.hidden.emplace_back(value);
    } else if (flag == "--uid" && number) {
      options.uid = static_cast<uid_t>(*number);
    } else if (flag == "--gid" && number) {
      options.gid = static_cast<gid_t>(*number);
    } else {
      return usage();
    }
  }
  if (argc % 2 == 0 || !options.instance_directory.is_absolute()) return usage();
  return sagebrush::agent::RunAgent(options);
}
