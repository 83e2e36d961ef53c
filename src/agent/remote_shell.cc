#include "agent/remote_shell.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>

#include "base/clock.h"
#include "base/log.h"

namespace sagebrush::agent {
namespace {

namespace json = boost::json;

constexpr size_t kMaxCalls = 200;  // two descriptors each, of the 1024 that a process may have
// A message must fit a socket's buffer, so that sending one never blocks the agent.
constexpr size_t kMaxMessageBytes = 96 * 1024;
constexpr int64_t kRetryMs = 100;
constexpr size_t kStreams = 3;
constexpr char kSocketName[] = "remote.sock";

std::string Text(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

}  // namespace

RemoteShell::RemoteShell(Options options, driver::ControlChannel& init, io::UniqueFd listener)
    : options_(std::move(options)), peers_(options_.files, *options_.spec), init_(init), inside_(std::move(listener)) {}

RemoteShell::~RemoteShell() {
  if (outside_) ::unlink((options_.files.directory / kSocketName).c_str());
}

Result<void> RemoteShell::Open() {
  TRY(io::UniqueFd directory, io::Open(options_.files.directory, O_PATH | O_DIRECTORY));
  ::unlink((options_.files.directory / kSocketName).c_str());
  io::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address = driver::UnixAddressIn(directory.get(), kSocketName);
  mode_t before = ::umask(0177);  // from its first moment on
  bool bound = fd && ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::umask(before);
  if (!bound || ::listen(fd.get(), 128) != 0) {
    return Fail(FromErrno(errno, "cannot listen for the job's other instances"));
  }
  outside_ = std::move(fd);
  return {};
}

void RemoteShell::AddTo(std::vector<pollfd>& waiting) const {
  auto accepting = static_cast<short>(calls_.size() < kMaxCalls ? POLLIN : 0);
  waiting.push_back({accepting != 0 ? inside_.get() : -1, accepting, 0});
  waiting.push_back({accepting != 0 ? outside_.get() : -1, accepting, 0});
  for (const Call& call : calls_) {
    waiting.push_back({call.caller.fd(), POLLIN, 0});
    waiting.push_back({call.agent ? call.agent->fd() : -1, POLLIN, 0});
  }
}

void RemoteShell::Serve(const pollfd* entries, size_t count) {
  size_t at = 2;
  for (auto call = calls_.begin(); call != calls_.end() && at + 1 < count; at += 2) {
    if (entries[at + 1].revents != 0) Relay(*call);
    if (entries[at].revents != 0 && !call->done) Read(*call);
    call = call->done ? calls_.erase(call) : std::next(call);
  }
  if (retry_at_ms_ != 0 && MonotonicMs() >= retry_at_ms_) {
    retry_at_ms_ = 0;
    for (Call& call : calls_) {
      if (call.waits_for >= 0) PassOn(call, call.waits_for);
    }
  }
  if (count > 0 && entries[0].revents != 0) Accept(inside_.get(), false);
  if (count > 1 && entries[1].revents != 0) Accept(outside_.get(), true);
  std::erase_if(calls_, [](const Call& call) { return call.done; });
}

void RemoteShell::Accept(int listener, bool from_agent) {
  while (calls_.size() < kMaxCalls) {
    io::UniqueFd fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd) return;
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) continue;
    Call& call = calls_.emplace_back(driver::ControlChannel(std::move(fd), kMaxMessageBytes));
    call.from_agent = from_agent;
    call.process = peer.pid;
  }
}

void RemoteShell::Read(Call& call) {
  if (!call.caller.Receive()) return HangUp(call);
  std::optional<json::object> request = call.caller.Next();
  if (!request) return;
  if (call.begun) return HangUp(call);  // one each
  call.begun = true;
  Begin(call, *request);
}

void RemoteShell::Begin(Call& call, const json::object& request) {
  call.command = Text(request, "command");
  for (size_t i = 0; i < kStreams; ++i) {
    call.streams.push_back(call.caller.TakeDescriptor());
    if (!call.streams.back()) return Answer(call, {{"error", "the call brought no standard input, output and error"}});
  }
  if (call.from_agent) {
    const json::value* from = request.if_contains("from");
    int rank = from != nullptr && from->is_int64() ? static_cast<int>(from->get_int64()) : -1;
    if (peers_.IsAgent(rank, call.process)) return StartHere(call);
    Log(LogLevel::kWarning, "remote_call_refused", {{"process", int64_t{call.process}}, {"says_host", rank}});
    return Answer(call, {{"error", "only the agents of this job's instances may start programs here"}});
  }
  int rank = peers_.RankOf(Text(request, "host"));
  if (rank < 0) return Answer(call, {{"unknown", true}});
  if (rank == options_.spec->rank) return StartHere(call);
  PassOn(call, rank);
}

void RemoteShell::StartHere(Call& call) {
  json::array argv = {"/bin/sh"};
  if (!call.command.empty()) argv.insert(argv.end(), {"-c", call.command});  // without: commands from standard input
  const std::vector<std::string>& variables = options_.environment;
  json::object start{{"kind", "remote"},
                     {"id", next_id_},
                     {"argv", std::move(argv)},
                     {"env", json::array(variables.begin(), variables.end())},
                     {"cwd", "/root"}};
  std::vector<int> streams;
  for (const io::UniqueFd& stream : call.streams) streams.push_back(stream.get());
  if (Result<void> sent = init_.Send(start, streams); !sent) return Answer(call, {{"error", sent.error().message}});
  call.id = next_id_++;
  call.streams.clear();
}

void RemoteShell::PassOn(Call& call, int rank) {
  call.waits_for = -1;
  io::UniqueFd fd = ConnectTo(rank);
  if (!fd && peers_.Ended(rank)) return Answer(call, {{"error", HostName(rank) + " has ended"}});
  if (!fd) {
    call.waits_for = rank;
    if (retry_at_ms_ == 0) retry_at_ms_ = MonotonicMs() + kRetryMs;
    return;
  }
  call.agent.emplace(std::move(fd), kMaxMessageBytes);
  std::vector<int> streams;
  for (const io::UniqueFd& stream : call.streams) streams.push_back(stream.get());
  Result<void> sent = call.agent->Send({{"from", options_.spec->rank}, {"command", call.command}}, streams);
  call.streams.clear();
  if (!sent) Answer(call, {{"error", HostName(rank) + ": " + sent.error().message}});
}

io::UniqueFd RemoteShell::ConnectTo(int rank) const {
  io::UniqueFd directory(::open(peers_.Files(rank).directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  // Without waiting for room in its queue; messages then go and come as whole ones.
  io::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!directory || !fd) return {};
  sockaddr_un address = driver::UnixAddressIn(directory.get(), kSocketName);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return {};
  if (::fcntl(fd.get(), F_SETFL, 0) != 0) return {};
  return fd;
}

// What the other agent has to say goes to the caller.
void RemoteShell::Relay(Call& call) {
  if (!call.agent->Receive()) return Answer(call, {{"error", "the host ended before its program did"}});
  if (std::optional<json::object> answer = call.agent->Next()) Answer(call, *answer);
}

void RemoteShell::Answer(Call& call, const json::object& answer) {
  static_cast<void>(call.caller.Send(answer));  // a caller that is gone needs none
  call.done = true;
}

void RemoteShell::HangUp(Call& call) {
  if (call.id != 0) {
    static_cast<void>(init_.Send({{"kind", "signal_remote"}, {"id", call.id}, {"signal", SIGHUP}}));
  }
  call.done = true;  // an agent that it was passed on to sees the same
}

void RemoteShell::Ended(int64_t id, int wait_status) {
  for (Call& call : calls_) {
    if (call.id == id && !call.done) Answer(call, {{"status", wait_status}});
  }
}

}  // namespace sagebrush::agent
