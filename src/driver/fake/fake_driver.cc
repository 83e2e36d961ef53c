#include "driver/fake/fake_driver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <system_error>

#include "base/check.h"
#include "driver/service_check.h"
#include "driver/spec_json.h"
#include "io/file.h"

namespace sagebrush::driver {
namespace {

namespace fs = std::filesystem;

bool IsFinal(Phase phase) { return phase == Phase::kEnded || phase == Phase::kLost; }

Error Unknown(const InstanceId& id) { return NotFound("There is no instance " + id.value() + "."); }

Error OldEpoch(Epoch epoch, Epoch seen) {
  return {ErrorKind::kFailedPrecondition, "Epoch " + std::to_string(epoch.value) + " is older than " +
                                              std::to_string(seen.value) + ", which commands this instance."};
}

// Two starts of one instance may differ in the epoch alone.
bool SameSpec(InstanceSpec a, const InstanceSpec& b) {
  a.epoch = b.epoch;
  return SpecToJson(a) == SpecToJson(b);
}

}  // namespace

// --- the machine ---------------------------------------------------------------------------------------------------

void FakeMachine::SetScript(FakeScript script) {
  SetScripts([script = std::move(script)](const InstanceSpec&) { return script; });
}

void FakeMachine::SetScripts(std::function<FakeScript(const InstanceSpec&)> choose) {
  std::lock_guard lock(mutex_);
  choose_ = std::move(choose);
}

FakeMachine::Instance& FakeMachine::Find(const InstanceId& id) {
  auto it = instances_.find(id);
  CHECK(it != instances_.end());
  return it->second;
}

void FakeMachine::Step(Instance& instance) {
  InstanceStatus& status = instance.status;
  ++now_ms_;
  switch (status.phase) {
    case Phase::kStarting:
      status.phase = Phase::kDownloading;
      break;
    case Phase::kDownloading:
      if (instance.spec.held) {
        status.phase = Phase::kReady;
        status.ready_ms = now_ms_;
        if (!instance.released) break;
      }
      [[fallthrough]];
    case Phase::kReady:
      if (instance.spec.held && !instance.released) break;
      status.phase = Phase::kTraining;
      status.training_started_ms = now_ms_;
      for (const std::string& line : instance.script.lines) instance.log.push_back({now_ms_, line});
      break;
    case Phase::kTraining:
      status.training_ended_ms = now_ms_;
      status.stopped = instance.stop_requested;
      if (status.signal == 0) status.exit_code = instance.script.exit_code;
      if (instance.spec.service) return End(instance);
      status.phase = Phase::kUploading;
      break;
    case Phase::kUploading:
      End(instance);
      break;
    case Phase::kEnded:
    case Phase::kLost:
      break;
  }
}

// As far as an automatic instance goes by itself.
void FakeMachine::RunAlone(Instance& instance) {
  while (instance.script.automatic && !IsFinal(instance.status.phase)) {
    if (instance.spec.held && !instance.released && instance.status.phase == Phase::kReady) return;
    if (instance.spec.service && instance.status.phase == Phase::kTraining) return;
    Step(instance);
  }
}

void FakeMachine::End(Instance& instance) {
  InstanceStatus& status = instance.status;
  const FakeScript& script = instance.script;
  bool trained = status.training_started_ms != 0;
  status.phase = Phase::kEnded;
  status.ended_ms = now_ms_;
  if (status.training_ended_ms == 0) status.stopped = instance.stop_requested;  // later ones came after the program
  status.exit_code = trained && status.signal == 0 ? script.exit_code : 0;
  if (trained && status.signal == 0) status.signal = script.signal;
  bool serves = instance.spec.service.has_value();
  status.succeeded = serves ? status.stopped : trained && status.exit_code == 0 && status.signal == 0;
  if (!status.succeeded && !status.stopped) {
    status.failure_reason = script.failure_reason.empty() ? "the fake program failed" : script.failure_reason;
  }
  auto store = [&](const std::string& name, const std::string& content) {
    fs::path file = directory_ / instance.spec.id.value() / "artifacts" / name;
    CHECK(io::MakeDirectories(file.parent_path()).has_value());
    CHECK(io::WriteFile(file, content).has_value());
    return file;
  };
  if (serves) return;
  if (trained && !script.model.empty()) status.model_archive = store("model.tar.gz", script.model);
  if (trained && !script.output.empty()) status.output_archive = store("output.tar.gz", script.output);
}

void FakeMachine::Tell(const InstanceId& id, News news) {
  std::lock_guard telling(telling_);
  std::vector<Listener> listeners;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [driver, listener] : listeners_) listeners.push_back(listener);
  }
  for (const Listener& listener : listeners) listener(id, news);
}

void FakeMachine::Advance(const InstanceId& id) {
  bool printed = false;
  {
    std::lock_guard lock(mutex_);
    Instance& instance = Find(id);
    size_t lines = instance.log.size();
    Step(instance);
    printed = instance.log.size() > lines;
  }
  Tell(id, News::kStatus);
  if (printed) Tell(id, News::kLog);
}

void FakeMachine::AdvanceTo(const InstanceId& id, Phase phase) {
  bool printed = false;
  {
    std::lock_guard lock(mutex_);
    Instance& instance = Find(id);
    size_t lines = instance.log.size();
    while (instance.status.phase < phase && !IsFinal(instance.status.phase)) {
      Phase before = instance.status.phase;
      Step(instance);
      if (instance.status.phase == before) break;  // held
    }
    printed = instance.log.size() > lines;
  }
  Tell(id, News::kStatus);
  if (printed) Tell(id, News::kLog);
}

void FakeMachine::Print(const InstanceId& id, const std::string& line) {
  {
    std::lock_guard lock(mutex_);
    Find(id).log.push_back({++now_ms_, line});
  }
  Tell(id, News::kLog);
}

void FakeMachine::ServeAt(const InstanceId& id, uint16_t port) {
  std::lock_guard lock(mutex_);
  Find(id).script.serves_at = port;
}

void FakeMachine::Lose(const InstanceId& id) {
  {
    std::lock_guard lock(mutex_);
    Instance& instance = Find(id);
    if (!IsFinal(instance.status.phase)) instance.status.phase = Phase::kLost;
  }
  Tell(id, News::kStatus);
}

void FakeMachine::Kill(const InstanceId& id) {
  {
    std::lock_guard lock(mutex_);
    Instance& instance = Find(id);
    if (IsFinal(instance.status.phase)) return;
    if (instance.status.phase == Phase::kTraining) instance.status.signal = 9;
    End(instance);
  }
  Tell(id, News::kStatus);
}

void FakeMachine::FailStarts(Error error, int times, bool after_effect) {
  std::lock_guard lock(mutex_);
  start_error_ = std::move(error);
  failing_starts_ = times;
  fail_after_effect_ = after_effect;
}

void FakeMachine::LoseStarts(int times) {
  std::lock_guard lock(mutex_);
  lost_starts_ = times;
}

void FakeMachine::SetUsage(const InstanceId& id, InstanceUsage usage) {
  std::lock_guard lock(mutex_);
  Find(id).usage = usage;
}

void FakeMachine::FailEverything(std::optional<Error> error) {
  std::lock_guard lock(mutex_);
  error_ = std::move(error);
}

std::optional<Error> FakeMachine::Unreachable() const { return error_; }

int FakeMachine::start_calls(const InstanceId& id) const {
  std::lock_guard lock(mutex_);
  auto it = counters_.find(id);
  return it == counters_.end() ? 0 : it->second.start_calls;
}

int FakeMachine::created(const InstanceId& id) const {
  std::lock_guard lock(mutex_);
  auto it = counters_.find(id);
  return it == counters_.end() ? 0 : it->second.created;
}

int FakeMachine::stop_calls(const InstanceId& id) const {
  std::lock_guard lock(mutex_);
  auto it = counters_.find(id);
  return it == counters_.end() ? 0 : it->second.stop_calls;
}

int FakeMachine::release_calls(const InstanceId& id) const {
  std::lock_guard lock(mutex_);
  auto it = counters_.find(id);
  return it == counters_.end() ? 0 : it->second.release_calls;
}

std::vector<InstanceId> FakeMachine::running() const {
  std::lock_guard lock(mutex_);
  std::vector<InstanceId> ids;
  for (const auto& [id, instance] : instances_) {
    if (!IsFinal(instance.status.phase)) ids.push_back(id);
  }
  return ids;
}

std::optional<InstanceSpec> FakeMachine::spec(const InstanceId& id) const {
  std::lock_guard lock(mutex_);
  auto it = instances_.find(id);
  return it == instances_.end() ? std::nullopt : std::optional(it->second.spec);
}

// --- the driver ----------------------------------------------------------------------------------------------------

FakeDriver::~FakeDriver() {
  std::scoped_lock lock(machine_->telling_, machine_->mutex_);
  machine_->listeners_.erase(this);
}

std::vector<Requirement> FakeDriver::Fingerprint() { return {{"a fake machine", true, true, "present", ""}}; }

Result<void> FakeDriver::Start(const InstanceSpec& spec) {
  bool tell = false;
  Result<void> started = [&]() -> Result<void> {
    std::lock_guard lock(machine_->mutex_);
    if (auto error = machine_->Unreachable()) return Fail(*error);
    FakeMachine::Counters& counters = machine_->counters_[spec.id];
    ++counters.start_calls;
    bool failing = machine_->start_error_ && machine_->failing_starts_ != 0;
    if (failing && machine_->failing_starts_ > 0) --machine_->failing_starts_;
    if (failing && !machine_->fail_after_effect_) return Fail(*machine_->start_error_);
    if (machine_->lost_starts_ > 0) {
      --machine_->lost_starts_;
      return {};
    }
    if (spec.epoch < counters.epoch) return Fail(OldEpoch(spec.epoch, counters.epoch));
    counters.epoch = spec.epoch;
    auto known = machine_->instances_.find(spec.id);
    if (known == machine_->instances_.end()) {
      TRYV(Create(spec));
      ++counters.created;
      tell = true;
    } else if (!SameSpec(spec, known->second.spec)) {
      return Fail(InvalidArgument("The instance " + spec.id.value() + " was started before with a different spec."));
    } else {
      known->second.status.epoch = spec.epoch;
    }
    if (failing) return Fail(*machine_->start_error_);
    return {};
  }();
  if (tell) machine_->Tell(spec.id, News::kStatus);
  return started;
}

Result<void> FakeDriver::Create(const InstanceSpec& spec) {
  if (spec.id.empty() || spec.job.empty() || spec.rank < 0 || spec.rank >= spec.count) {
    return Fail(InvalidArgument("A spec needs an id, a job and a rank below its count."));
  }
  std::error_code error;
  for (const Channel& channel : spec.channels) {
    if (!fs::is_directory(channel.links, error)) {
      return Fail(InvalidArgument("The channel " + channel.name + " was not staged."));
    }
  }
  if (!spec.checkpoints.directory.empty() && !fs::is_directory(spec.checkpoints.directory, error)) {
    return Fail(InvalidArgument("The directory of checkpoints was not staged."));
  }
  TRYV(CheckService(spec));
  if (!spec.source_archive.empty() && !fs::is_regular_file(spec.source_archive, error)) {
    return Fail(InvalidArgument("The source archive was not staged."));
  }
  FakeMachine::Instance& instance = machine_->instances_[spec.id];
  instance.spec = spec;
  instance.script = machine_->choose_(spec);
  instance.status.id = spec.id;
  instance.status.epoch = spec.epoch;
  instance.status.started_ms = ++machine_->now_ms_;
  machine_->RunAlone(instance);
  return {};
}

Result<std::vector<InstanceStatus>> FakeDriver::List() {
  std::lock_guard lock(machine_->mutex_);
  if (auto error = machine_->Unreachable()) return Fail(*error);
  std::vector<InstanceStatus> found;
  for (const auto& [id, instance] : machine_->instances_) found.push_back(instance.status);
  return found;
}

Result<InstanceStatus> FakeDriver::Inspect(const InstanceId& id) {
  std::lock_guard lock(machine_->mutex_);
  ++machine_->inspections_;
  if (auto error = machine_->Unreachable()) return Fail(*error);
  auto it = machine_->instances_.find(id);
  if (it == machine_->instances_.end()) return Fail(Unknown(id));
  return it->second.status;
}

Result<LogChunk> FakeDriver::ReadLog(const InstanceId& id, uint64_t offset, size_t limit_bytes) {
  std::lock_guard lock(machine_->mutex_);
  if (auto error = machine_->Unreachable()) return Fail(*error);
  auto it = machine_->instances_.find(id);
  if (it == machine_->instances_.end()) return Fail(Unknown(id));
  LogChunk chunk{{}, offset};
  uint64_t at = 0;
  size_t taken = 0;
  bool aligned = offset == 0;
  for (const LogRecord& record : it->second.log) {
    uint64_t next = at + record.line.size() + 16;  // as long as a record of a real spool, about
    if (at >= offset && (taken == 0 || taken < limit_bytes)) {
      chunk.records.push_back(record);
      chunk.next_offset = next;
      taken += record.line.size() + 16;
    }
    at = next;
    aligned = aligned || at == offset;
  }
  if (!aligned)
    return Fail(Error(ErrorKind::kDataLoss, "No ReadLog gave out the offset " + std::to_string(offset) + "."));
  return chunk;
}

Result<void> FakeDriver::Stop(const InstanceId& id, const StopRequest& request) {
  {
    std::lock_guard lock(machine_->mutex_);
    if (auto error = machine_->Unreachable()) return Fail(*error);
    auto it = machine_->instances_.find(id);
    if (it == machine_->instances_.end()) return Fail(Unknown(id));
    FakeMachine::Counters& counters = machine_->counters_[id];
    ++counters.stop_calls;
    if (request.epoch < counters.epoch) return Fail(OldEpoch(request.epoch, counters.epoch));
    counters.epoch = request.epoch;
    FakeMachine::Instance& instance = it->second;
    if (IsFinal(instance.status.phase)) return {};
    instance.stop_requested = true;
    if (!instance.script.ends_on_stop) return {};
    if (instance.status.phase == Phase::kTraining) instance.status.signal = 15;
    if (instance.status.phase == Phase::kTraining) {
      machine_->Step(instance);
    } else if (instance.status.phase != Phase::kUploading) {
      machine_->End(instance);
    }
  }
  machine_->Tell(id, News::kStatus);
  return {};
}

Result<void> FakeDriver::Release(const InstanceId& id, Epoch epoch) {
  {
    std::lock_guard lock(machine_->mutex_);
    if (auto error = machine_->Unreachable()) return Fail(*error);
    auto it = machine_->instances_.find(id);
    if (it == machine_->instances_.end()) return Fail(Unknown(id));
    FakeMachine::Counters& counters = machine_->counters_[id];
    ++counters.release_calls;
    if (epoch < counters.epoch) return Fail(OldEpoch(epoch, counters.epoch));
    counters.epoch = epoch;
    FakeMachine::Instance& instance = it->second;
    if (instance.released) return {};
    instance.released = true;
    if (instance.status.phase == Phase::kReady) machine_->Step(instance);
    if (instance.status.phase >= Phase::kTraining) machine_->RunAlone(instance);
  }
  machine_->Tell(id, News::kStatus);
  return {};
}

Result<void> FakeDriver::Destroy(const InstanceId& id) {
  std::lock_guard lock(machine_->mutex_);
  if (auto error = machine_->Unreachable()) return Fail(*error);
  machine_->instances_.erase(id);
  if (auto it = machine_->counters_.find(id); it != machine_->counters_.end()) it->second.epoch = Epoch{};
  return io::RemoveTree(machine_->directory_ / id.value());
}

Result<io::UniqueFd> FakeDriver::Connect(const InstanceId& id, uint16_t port) {
  uint16_t answers_at = 0;
  {
    std::lock_guard lock(machine_->mutex_);
    if (auto error = machine_->Unreachable()) return Fail(*error);
    auto it = machine_->instances_.find(id);
    if (it == machine_->instances_.end()) return Fail(Unknown(id));
    const FakeMachine::Instance& instance = it->second;
    bool serves = instance.spec.service && instance.spec.service->port == port;
    if (serves && instance.status.phase == Phase::kTraining) answers_at = instance.script.serves_at;
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(answers_at);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  io::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (answers_at == 0 || !fd || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return Fail(
        Error(ErrorKind::kUnavailable, "Nothing listens at port " + std::to_string(port) + " of the instance."));
  }
  int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  return fd;
}

void FakeDriver::SetListener(Listener listener) {
  std::scoped_lock lock(machine_->telling_, machine_->mutex_);
  if (listener) {
    machine_->listeners_[this] = std::move(listener);
  } else {
    machine_->listeners_.erase(this);
  }
}

Result<InstanceUsage> FakeDriver::Usage(const InstanceId& id) {
  std::lock_guard lock(machine_->mutex_);
  if (auto error = machine_->Unreachable()) return Fail(*error);
  auto found = machine_->instances_.find(id);
  if (found == machine_->instances_.end() || found->second.status.phase >= Phase::kEnded) {
    return Fail(NotFound("There is no running instance " + id.value() + "."));
  }
  return found->second.usage;
}

fs::path FakeDriver::StagingDirectory(const InstanceId& id) const {
  return machine_->directory_ / id.value() / "staged";
}

}  // namespace sagebrush::driver
