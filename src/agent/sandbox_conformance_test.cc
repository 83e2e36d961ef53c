#include "agent/sandbox_test_support.h"
#include "driver/conformance.h"

namespace sagebrush::driver {
namespace {

constexpr char kEchoes[] = R"(exec python3 -c '
import signal, socketserver, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
class Echo(socketserver.BaseRequestHandler):
  def handle(self):
    while text := self.request.recv(4096): self.request.sendall(text)
class Server(socketserver.ThreadingTCPServer):
  daemon_threads, allow_reuse_address, request_queue_size = True, True, 128
with Server(("127.0.0.1", 8080), Echo) as server:
  print("ready", flush=True)
  server.serve_forever()
')";

class SandboxHarness {
 public:
  static std::string Unavailable() { return agent::SandboxMachine::Unavailable(); }

  Driver& driver() { return machine_.driver(); }
  void Reopen() { machine_.Reopen(); }
  InstanceSpec Spec(const std::string& id, Program program) {
    static const std::map<Program, std::string> kScripts = {
        {Program::kPrints, "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done"},
        {Program::kFails, "exit 3"},
        {Program::kWaits, "trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done"},
        {Program::kKeeps,
         "printf kept >> /srv/kept/here/state; trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done"},
        {Program::kServes, kEchoes},
        {Program::kIgnoresStop, "trap '' TERM; echo ready; while :; do sleep 0.01; done"},
    };
    InstanceSpec spec = machine_.Shell(id, kScripts.at(program));
    spec.stop_grace_ms = program == Program::kIgnoresStop ? 100 : 60'000;
    return spec;
  }
  void LoseAgent(const InstanceId& id) { ::kill(machine_.Process(id, 0)->pid, SIGKILL); }
  void LetRun(const InstanceId&) {}
  void LetServe(const InstanceId&) {}
  void Keep(const InstanceId&) {}
  int Created(const InstanceId& id) {
    // A second life would have printed everything twice.
    std::string log = machine_.Log(id);
    int lives = 0;
    for (size_t at = log.find("line 0\n"); at != std::string::npos; at = log.find("line 0\n", at + 1)) ++lives;
    return lives;
  }

 private:
  agent::SandboxMachine machine_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Sandbox, DriverConformance, SandboxHarness);

}  // namespace
}  // namespace sagebrush::driver
