#include "agent/ssh_command.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/text.h"
#include "driver/sandbox/control_channel.h"
#include "driver/sandbox/init.h"

namespace sagebrush::agent {
namespace {

namespace json = boost::json;

constexpr int kSshError = 255;
constexpr size_t kMaxCommandBytes = 64 * 1024;
constexpr std::string_view kFlags = "46AaCgKkMqTtvXxYy";  // without effect here
constexpr std::string_view kValued = "BbcEeFIilmOopSw";   // with a value, without effect here
constexpr std::string_view kForwarding = "DJLNRW";

int Complain(const std::string& message) {
  std::fprintf(stderr, "ssh: %s\n", message.c_str());
  return kSshError;
}

Result<void> CheckUser(std::string_view user) {
  if (user.empty() || user == "root") return {};
  return Fail(InvalidArgument("programs of an instance run as root; there is no user " + std::string(user) + " to be"));
}

// One argument that begins with '-': one or more letters, the last perhaps with its value.
Result<void> TakeOptions(const std::vector<std::string>& arguments, size_t& at, SshCall& call) {
  const std::string& argument = arguments[at];
  for (size_t i = 1; i < argument.size(); ++i) {
    char letter = argument[i];
    if (kForwarding.find(letter) != std::string_view::npos) {
      return Fail(InvalidArgument(std::string("-") + letter +
                                  ": nothing needs forwarding here, the hosts of a job reach each other on any port"));
    }
    if (kValued.find(letter) != std::string_view::npos) {
      std::string value = argument.substr(i + 1);
      if (value.empty() && ++at >= arguments.size()) {
        return Fail(InvalidArgument(std::string("-") + letter + " needs a value"));
      }
      if (value.empty()) value = arguments[at];
      return letter == 'l' ? CheckUser(value) : Result<void>{};
    }
    if (letter == 'n') call.no_input = true;
    if (letter == 'f') call.no_input = call.background = true;
    if (letter == 'V') call.show_version = true;
    if (std::string_view("nfV").find(letter) == std::string_view::npos &&
        kFlags.find(letter) == std::string_view::npos) {
      return Fail(InvalidArgument(std::string("unknown option -") + letter));
    }
  }
  return {};
}

// Runs the next `ssh` in PATH that is not this program. Returns only when there is none.
void RunSystemSsh(char** argv) {
  struct stat self{}, other{};
  if (::stat("/proc/self/exe", &self) != 0) return;
  const char* path = ::getenv("PATH");
  for (std::string_view directory : Split(path != nullptr ? path : "/usr/bin:/bin", ':')) {
    std::string candidate = std::string(directory) + "/ssh";
    if (::stat(candidate.c_str(), &other) != 0 || (other.st_ino == self.st_ino && other.st_dev == self.st_dev))
      continue;
    ::execv(candidate.c_str(), argv);
  }
}

Result<driver::ControlChannel> ConnectToAgent() {
  io::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, driver::kRemoteShellAddress, sizeof driver::kRemoteShellAddress - 1);
  auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + sizeof driver::kRemoteShellAddress);
  if (!fd || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) {
    return Fail(FromErrno(errno, "this instance's agent does not answer"));
  }
  return driver::ControlChannel(std::move(fd));
}

Result<json::object> Ask(const SshCall& call) {
  TRY(driver::ControlChannel agent, ConnectToAgent());
  io::UniqueFd null;
  if (call.no_input) {
    TRY(null, io::Open("/dev/null", O_RDONLY));
  }
  TRYV(agent.Send({{"host", call.host}, {"command", call.command}}, {null ? null.get() : 0, 1, 2}));
  while (true) {
    if (std::optional<json::object> answer = agent.Next()) return std::move(*answer);
    if (!agent.Receive()) return Fail(Error(ErrorKind::kUnavailable, "this instance's agent has hung up"));
  }
}

int ExitCode(const json::object& answer) {
  if (const json::value* error = answer.if_contains("error"); error != nullptr && error->is_string()) {
    return Complain(std::string(error->get_string()));
  }
  const json::value* status = answer.if_contains("status");
  int wait_status = status != nullptr && status->is_int64() ? static_cast<int>(status->get_int64()) : -1;
  return status != nullptr && WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : kSshError;
}

}  // namespace

Result<SshCall> ParseSsh(const std::vector<std::string>& arguments) {
  SshCall call;
  size_t at = 0;
  // Options may stand behind the host, too.
  for (; at < arguments.size(); ++at) {
    const std::string& argument = arguments[at];
    if (argument.size() > 1 && argument[0] == '-' && argument != "--") {
      TRYV(TakeOptions(arguments, at, call));
      continue;
    }
    if (argument == "--" && call.host.empty()) continue;
    if (!call.host.empty()) break;
    size_t user_end = argument.rfind('@');
    if (user_end != std::string::npos) TRYV(CheckUser(std::string_view(argument).substr(0, user_end)));
    call.host = user_end == std::string::npos ? argument : argument.substr(user_end + 1);
  }
  if (at < arguments.size() && arguments[at] == "--") ++at;
  for (; at < arguments.size(); ++at) call.command += (call.command.empty() ? "" : " ") + arguments[at];
  if (call.host.empty() && !call.show_version) {
    return Fail(InvalidArgument("usage: ssh [options] host [command ...], where host is algo-1, algo-2, ..."));
  }
  if (call.command.size() > kMaxCommandBytes) {
    return Fail(
        InvalidArgument("the command has more than 64 KiB; put it into a file of the source, or send it as "
                        "standard input of: ssh host sh"));
  }
  return call;
}

int RunSsh(int argc, char** argv) {
  Result<SshCall> call = ParseSsh({argv + 1, argv + argc});
  if (!call) return Complain(call.error().message);
  if (call->show_version) {
    std::fprintf(stderr, "ssh of Sagebrush %s, between the hosts of a job\n", SAGEBRUSH_VERSION);
    return 0;
  }
  if (call->background && ::daemon(1, 1) != 0) return Complain(std::strerror(errno));
  Result<json::object> answer = Ask(*call);
  if (!answer) return Complain(answer.error().message);
  if (!answer->contains("unknown")) return ExitCode(*answer);
  RunSystemSsh(argv);
  return Complain("Could not resolve hostname " + call->host + ": it is none of this job's, and there is no other ssh");
}

}  // namespace sagebrush::agent
