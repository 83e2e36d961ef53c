#include "agent/instance.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <filesystem>
#include <thread>

#include "agent/failure_text.h"
#include "agent/sdk_driver.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "driver/spec_json.h"

namespace sagebrush::agent {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using driver::Phase;

constexpr char kLineBuffering[] = "/usr/libexec/coreutils/libstdbuf.so";
constexpr size_t kReserveBytes = 256 * 1024;

std::string Flag(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}
bool IsTrue(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_bool() && value->get_bool();
}

}  // namespace

Instance::Instance(AgentOptions options, driver::InstanceSpec spec)
    : options_(std::move(options)), spec_(std::move(spec)), files_{options_.instance_directory}, peers_(files_, spec_) {
  status_.id = spec_.id;
  status_.epoch = spec_.epoch;
  status_.started_ms = WallClockMs();
  hyperparameters_ = Hyperparameters::Decode(spec_.hyperparameters);
}

void Instance::Run() {
  SetPhase(Phase::kStarting, false);
  Result<void> run = Start();
  status_.machine_failed = !run;
  if (run && !loop_->stop_requested()) run = Download();
  if (run && spec_.held && !loop_->stop_requested()) run = AwaitRelease();
  if (run && !loop_->stop_requested()) run = Train();
  if (!run) FailWith(run.error().message);
  if (loop_ && loop_->broken()) status_.machine_failed = true;
  if (trained_) spec_.service ? EndService() : Upload();
  Finish();
}

void Instance::SetPhase(Phase phase, bool durable) {
  status_.phase = phase;
  FAILPOINT("agent.status.before_write");
  std::string text = driver::StatusToJson(status_);
  // A power cut ends the instance anyway; what needs to survive one is that the program ran, and the outcome.
  Result<void> written =
      durable ? io::WriteFileDurably(files_.status(), text) : io::WriteFile(files_.status(), text, 0600);
  if (!written) {
    ::unlink(files_.reserve().c_str());
    written = io::WriteFileDurably(files_.status(), text);
  }
  if (!written) {
    // Nobody can be told. Dying makes the instance lost, which is the truth.
    Log(LogLevel::kError, "status_not_written", {{"error", written.error().message}});
    ::_exit(1);
  }
  FAILPOINT("agent.status.after_write");
  Hint(driver::kStatusHint);
}

void Instance::FailWith(const std::string& reason) {
  if (status_.failure_reason.empty()) status_.failure_reason = CutCharacters(reason, kMaxFailureCharacters);
}

void Instance::Say(const std::string& line) {
  if (log_ == nullptr) return;
  if (Result<void> said = log_->AppendLine("sagebrush: " + line); !said) FailWith(said.error().message);
}

// A nudge to the engine, if one listens: this instance has news. It reads the news from the files.
void Instance::Hint(const char* news) {
  if (!hint_socket_ || !hint_directory_) return;
  sockaddr_un address = driver::UnixAddressIn(hint_directory_.get(), "hints.sock");
  std::string text = std::string(news) + " " + spec_.id.value();
  ::sendto(hint_socket_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
           reinterpret_cast<sockaddr*>(&address), sizeof address);
}

// --- 1 Starting ----------------------------------------------------------------------------------------------------

Result<void> Instance::Start() {
  TRYV(OpenFiles());
  if (!spec_.environment.note.empty()) Say(spec_.environment.note);
  TRYV(MakeWorkspace());
  return Build();
}

Result<void> Instance::OpenFiles() {
  hint_directory_ = io::UniqueFd(::open((files_.directory / "../..").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  hint_socket_ = io::UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  TRY(io::UniqueFd spool, io::Open(files_.log(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND));
  log_ = std::make_unique<LogWriter>(std::move(spool), [this] { Hint(driver::kLogHint); });
  TRYV(io::WriteFile(files_.reserve(), std::string(kReserveBytes, 'r'), 0600));
  TRYV(driver::RemoveStubbornTree(files_.artifacts()));
  TRYV(io::MakeDirectories(files_.artifacts(), 0700));
  const fs::path& source = spec_.service ? spec_.service->model_archive : spec_.source_archive;
  if (!source.empty()) {
    TRY(source_, io::Open(source, O_RDONLY));
  }
  if (spec_.service) return {};
  return OpenArchives();
}

// What the program's results are packed into.
Result<void> Instance::OpenArchives() {
  uid_t uid = ::geteuid() == 0 ? options_.uid : ::geteuid();
  gid_t gid = ::geteuid() == 0 ? options_.gid : ::getegid();
  if (spec_.compress_model) {
    TRY(model_, io::Open(files_.artifacts() / "model.tar.gz", O_WRONLY | O_CREAT | O_TRUNC));
  } else {
    TRYV(io::MakeDirectories(files_.artifacts() / "model", 0755));
    if (::chown((files_.artifacts() / "model").c_str(), uid, gid) != 0) {
      return Fail(FromErrno(errno, "cannot set the owner of the model's directory"));
    }
    TRY(model_, io::Open(files_.artifacts() / "model", O_RDONLY | O_DIRECTORY));
  }
  TRY(output_, io::Open(files_.artifacts() / "output.tar.gz", O_WRONLY | O_CREAT | O_TRUNC));
  return {};
}

Result<void> Instance::MakeWorkspace() {
  fs::path ml = files_.ml();
  TRYV(driver::RemoveStubbornTree(ml));
  std::vector<fs::path> made = {"",       "input",       "input/config", "input/data", "model",
                                "output", "output/data", "code",         "checkpoints"};
  for (const driver::Channel& channel : spec_.channels) made.push_back(fs::path("input/data") / channel.name);
  if (spec_.service) made = {"", "model"};
  for (const fs::path& name : made) TRYV(io::MakeDirectories(ml / name, 0755));
  TRYV(WriteConfiguration(made));
  if (::geteuid() != 0) return {};
  for (const fs::path& name : made) {
    if (::lchown((ml / name).c_str(), options_.uid, options_.gid) != 0) {
      return Fail(FromErrno(errno, "cannot set the owner of /opt/ml/" + name.native()));
    }
  }
  return {};
}

// Adds the files to those made.
Result<void> Instance::WriteConfiguration(std::vector<fs::path>& made) {
  if (spec_.service) return {};
  json::object raw;
  for (const auto& [name, value] : spec_.hyperparameters) raw.emplace(name, value);
  const std::pair<const char*, std::string> configuration[] = {
      {"input/config/hyperparameters.json", json::serialize(raw)},
      {"input/config/inputdataconfig.json", spec_.input_data_config_json.empty() ? "{}" : spec_.input_data_config_json},
      {"input/config/resourceconfig.json", spec_.resource_config_json.empty() ? "{}" : spec_.resource_config_json}};
  for (const auto& [name, text] : configuration) {
    TRYV(io::WriteFile(files_.ml() / name, text, 0644));
    made.emplace_back(name);
  }
  return {};
}

Result<void> Instance::Build() {
  MachineFacts machine;
  machine.cpus = std::max(
      1, std::min(static_cast<int>(spec_.limits.vcpus), static_cast<int>(std::thread::hardware_concurrency())));
  std::map<std::string, std::string> variables = ProgramEnvironment(spec_, hyperparameters_, machine);
  std::error_code error;
  if (!variables.contains("LD_PRELOAD") && fs::exists(kLineBuffering, error)) {
    // C programs, too, shall be read line by line, not in blocks of 4 KiB.
    variables["LD_PRELOAD"] = kLineBuffering;
    variables.emplace("_STDBUF_O", "L");
  }
  for (const auto& [name, value] : variables) environment_.push_back(name + "=" + value);

  driver::Sandbox::Options options;
  options.files = files_;
  options.spec = &spec_;
  options.uid = options_.uid;
  options.gid = options_.gid;
  options.hidden = options_.hidden;
  TaskPlan plan{.spec = &spec_, .files = {source_.get(), model_.get(), output_.get()}};
  if (UsesToolkit(spec_)) plan.program = hyperparameters_.Toolkit("sagemaker_program");
  if (spec_.service) plan.search_path = ServiceSearchPath(spec_, variables["PATH"]);
  options.task = [plan](const std::string& name, int result_fd) { return RunTask(name, plan, result_fd); };
  options.kept = {plan.files.source, plan.files.model, plan.files.output};
  TRY(sandbox_, driver::Sandbox::Create(std::move(options)));
  TRYV(io::WriteFile(files_.processes(),
                     driver::ProcessIdentity::Of(::getpid()).ToString() + "\n" +
                         driver::ProcessIdentity::Of(sandbox_->init()).ToString() + "\n",
                     0600));
  for (const std::string& note : sandbox_->cgroup().notes()) Say(note);
  loop_ = std::make_unique<InstanceLoop>(InstanceLoop::Options{files_, &spec_, environment_}, *sandbox_, *log_);
  TRYV(loop_->Open());
  Result<EventReport> ready = loop_->Wait(InstanceEvent::kReady, false);
  if (!ready) return Fail(std::move(ready).error().Because("The instance could not be built"));
  return {};
}

// --- 2 Downloading -------------------------------------------------------------------------------------------------

Result<void> Instance::Download() {
  SetPhase(Phase::kDownloading, false);
  TRY(command_, ProgramCommand(spec_, hyperparameters_));
  return spec_.service ? DownloadModel() : DownloadSource();
}

Result<void> Instance::DownloadModel() {
  TRY(json::object prepared, Task("serve"));
  std::string program = Flag(prepared, "program");
  if (program.empty()) return Fail(InvalidArgument(MissingServer(*spec_.service)));
  command_.front() = program;
  return {};
}

Result<void> Instance::DownloadSource() {
  if (UsesToolkit(spec_)) {
    TRY(layout_, LayoutOf(spec_, hyperparameters_));
    TRY(mpi_, MpiOf(spec_, hyperparameters_));
    for (const std::string& host : ClusterHosts(spec_)) cluster_.push_back(peers_.RankOf(host));
    if (mpi_ && layout_ != ClusterLayout::kNone) {
      return Fail(InvalidArgument(
          "The job asks for MPI and for a TensorFlow cluster of its own; enable one of them in `distribution`."));
    }
  }
  if (!UsesToolkit(spec_) && spec_.source_archive.empty()) return {};
  Result<json::object> prepared = Task("prepare");
  if (!prepared) {
    std::string archive = hyperparameters_.Toolkit("sagemaker_submit_directory");
    return Fail(archive.empty() ? prepared.error() : std::move(prepared).error().Because(archive));
  }
  json::object found = *std::move(prepared);
  if (!UsesToolkit(spec_) || loop_->stop_requested()) return {};
  std::string program = hyperparameters_.Toolkit("sagemaker_program");
  if (!IsTrue(found, "program")) {
    return Fail(InvalidArgument(
        spec_.source_archive.empty()
            ? "The job has no source archive (hyperparameter sagemaker_submit_directory), so there is no " + program +
                  "."
            : "The source archive has no file " + program + ", which the hyperparameter sagemaker_program names."));
  }
  if (IsTrue(found, "requirements") && program.ends_with(".py")) {
    TRYV(Install("requirements.txt", {"-r", "requirements.txt"}));
  }
  if (IsTrue(found, "setup") && program.ends_with(".py") && !loop_->stop_requested()) TRYV(Install("setup.py", {"."}));
  return {};
}

Result<void> Instance::Install(const std::string& file, std::vector<std::string> pip_arguments) {
  std::vector<std::string> argv = {PythonOf(spec_), "-m", "pip", "install", "--no-input"};
  argv.insert(argv.end(), pip_arguments.begin(), pip_arguments.end());
  Say("installing the packages of " + file);
  log_->ForgetTail();
  TRY(int status, Execute(argv, "/opt/ml/code"));
  if (loop_->stop_requested()) return {};
  if (status != 0) {
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return Fail(InvalidArgument(InstallFailure(file, code, log_->tail())));
  }
  return {};
}

// --- 3 Ready -------------------------------------------------------------------------------------------------------

// All is there; the programs of a gang begin together. The release arrives as a file, which wakes the loop.
Result<void> Instance::AwaitRelease() {
  status_.ready_ms = WallClockMs();
  SetPhase(Phase::kReady, false);
  FAILPOINT("agent.release.before_wait");
  return loop_->AwaitOrStop([this] {
    std::error_code error;
    return fs::exists(files_.release(), error);
  });
}

// --- 4 Training ----------------------------------------------------------------------------------------------------

Result<void> Instance::Train() {
  if (!spec_.service) TRYV(loop_->OpenRemoteShell());
  status_.training_started_ms = WallClockMs();
  SetPhase(Phase::kTraining, true);
  trained_ = true;
  log_->ForgetTail();
  FAILPOINT("agent.program.before_start");
  if (HasParameterServers(layout_)) TRYV(StartParameterServer());
  Result<int> status = mpi_ ? RunMpi() : RunToItsEnd(command_, WorkingDirectory());
  if (status_.training_ended_ms == 0) status_.training_ended_ms = WallClockMs();
  if (status && HasParameterServers(layout_)) status = LeaveCluster(*status);
  if (status) {
    if (Result<void> alone = KillTheRest(); !alone) status = Fail(std::move(alone).error());
  }
  loop_->ProgramIsOver();
  FAILPOINT("agent.program.after_end");
  if (!status) return Fail(std::move(status).error());
  if (WIFEXITED(*status)) status_.exit_code = WEXITSTATUS(*status);
  if (WIFSIGNALED(*status)) status_.signal = WTERMSIG(*status);
  status_.out_of_memory = *status != 0 && sandbox_->cgroup().KilledForMemory();
  // Where mpirun runs programs, their death is told to host 1 and comes back as a stop.
  status_.stopped = loop_->stop_requested() && !(mpi_ && status_.out_of_memory);
  return {};
}

// Runs a program inside to its end and kills what it left behind; its output is in the log when this returns.
Result<int> Instance::Execute(const std::vector<std::string>& argv, const std::string& directory) {
  TRY(int status, RunToItsEnd(argv, directory));
  TRYV(KillTheRest());
  return status;
}

Result<int> Instance::RunToItsEnd(const std::vector<std::string>& argv, const std::string& directory) {
  json::array arguments(argv.begin(), argv.end()), variables(environment_.begin(), environment_.end());
  TRYV(sandbox_->control().Send(
      {{"kind", "exec"}, {"argv", std::move(arguments)}, {"env", std::move(variables)}, {"cwd", directory}}));
  TRY(EventReport ended, loop_->Wait(InstanceEvent::kEnded, true));
  return ended.wait_status;
}

Result<void> Instance::KillTheRest() {
  TRYV(sandbox_->control().Send({{"kind", "kill_all"}}));
  TRYV(loop_->Wait(InstanceEvent::kQuiet, false));
  loop_->Drain();
  if (loop_->log_failure()) return Fail(*loop_->log_failure());
  return {};
}

Result<json::object> Instance::Task(const std::string& name) {
  TRYV(sandbox_->control().Send({{"kind", "task"}, {"name", name}}));
  TRY(EventReport ended, loop_->Wait(InstanceEvent::kEnded, false));
  char bytes[64 * 1024];
  ssize_t got = ::read(sandbox_->result_fd(), bytes, sizeof bytes);
  boost::system::error_code bad;
  json::value value = got > 0 ? json::parse({bytes, static_cast<size_t>(got)}, bad) : json::value();
  if (ended.wait_status != 0 || bad || !value.is_object()) {
    loop_->Drain();
    return Fail(Error(ErrorKind::kUnavailable, "The instance's " + name + " step died."));
  }
  if (std::string error = Flag(value.get_object(), "error"); !error.empty()) return Fail(InvalidArgument(error));
  return std::move(value.get_object());
}

// Nothing is kept of a service; it has done its part when it was stopped.
void Instance::EndService() {
  if (status_.stopped) return;
  FailWith(ServerFailure({status_.exit_code, status_.signal, status_.out_of_memory, spec_.limits.memory_bytes},
                         log_->tail()));
}

// --- 5 Uploading ---------------------------------------------------------------------------------------------------

void Instance::Upload() {
  SetPhase(Phase::kUploading, true);
  bool failed = status_.exit_code != 0 || status_.signal != 0;
  if (failed && status_.failure_reason.empty() && !status_.stopped) {
    Result<json::object> failure = Task("failure");
    std::string own = failure ? Flag(*failure, "text") : "";
    if (RunsSdkDriver(command_) && IsSdkDriverText(own)) own.clear();
    FailWith(!own.empty() ? own : FailureText());
  }
  TakeModel();
  TakeOutput();
}

std::string Instance::FailureText() const {
  ProgramEnd end{status_.exit_code, status_.signal, status_.out_of_memory, spec_.limits.memory_bytes};
  std::optional<MpiOutput::Failed> failed = mpi_output_.failed();
  if (failed) return MpiOutput::FailureOf(*failed, end, command_);
  if (RunsSdkDriver(command_)) return SdkDriverFailure(end, log_->tail(), command_);
  if (mpi_) TakeShellSignal(end);  // mpirun ends as the process that failed first did
  return ProgramFailure(end, log_->tail(), command_, mpi_ && end.signal != 0 ? "a rank" : "");
}

void Instance::TakeModel() {
  Result<json::object> packed = Task("model");
  if (!packed) {
    // Part of an archive is of no use, and its room may be needed for the outcome.
    if (spec_.compress_model && ::ftruncate(model_.get(), 0) != 0) Say("the broken model.tar.gz could not be emptied");
    Say("no model: " + packed.error().message);
    // A program that removed its model directory has no model; anything else is a failure of the job.
    if (packed.error().message.find("No such file") == std::string::npos) FailWith(packed.error().message);
    return;
  }
  if (::fsync(model_.get()) != 0) return FailWith(FromErrno(errno, "cannot store the model").message);
  status_.model_archive = files_.artifacts() / (spec_.compress_model ? "model.tar.gz" : "model");
}

void Instance::TakeOutput() {
  Result<json::object> packed = Task("output");
  if (!packed) return Say("no output: " + packed.error().message);
  if (IsTrue(*packed, "empty")) return;
  if (::fsync(output_.get()) != 0) return FailWith(FromErrno(errno, "cannot store the output").message);
  status_.output_archive = files_.artifacts() / "output.tar.gz";
}

// --- 6 Ended -------------------------------------------------------------------------------------------------------

void Instance::Finish() {
  status_.stopped = loop_ != nullptr && loop_->stop_requested() && (!trained_ || status_.stopped);
  if (sandbox_) {
    sandbox_->End();
    if (loop_) loop_->Drain();
  }
  static_cast<void>(io::SyncDirectory(files_.artifacts()));
  bool well = spec_.service ? status_.stopped : trained_ && status_.exit_code == 0 && status_.signal == 0;
  status_.succeeded = well && status_.failure_reason.empty();
  status_.ended_ms = WallClockMs();
  FAILPOINT("agent.outcome.before_write");
  SetPhase(Phase::kEnded, true);
  ::unlink(files_.reserve().c_str());
}

}  // namespace sagebrush::agent
