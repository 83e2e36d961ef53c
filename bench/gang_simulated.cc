// One gang of N instances on the fake driver, from CreateTrainingJob to the removal of its instances: what the control
// plane itself costs. Prints one JSON object. Usage: gang_simulated N
#include <sys/resource.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <thread>

#include "base/check.h"
#include "base/text.h"
#include "control/instance_spec.h"
#include "control/training_job_frontend.h"
#include "control/training_job_reconciler.h"
#include "driver/fake/fake_driver.h"

namespace sagebrush::control {
namespace {

namespace fs = std::filesystem;
namespace sm = gen::sagemaker;
using driver::Phase;

constexpr char kJob[] = "gang";
constexpr auto kDeadline = std::chrono::minutes(1);

double CpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Of this program alone; getrusage would count what ran before it in this process.
int64_t PeakBytes() {
  Result<std::string> status = io::ReadFile("/proc/self/status");
  CHECK(status.has_value());
  std::string_view text = *status;
  text.remove_prefix(std::min(text.find("VmHWM:") + 6, text.size()));
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  std::optional<int64_t> kibibytes = ParseInt(text.substr(0, text.find(' ')));
  CHECK(kibibytes.has_value());
  return *kibibytes * 1024;
}

void Await(const std::function<bool()>& condition) {
  auto end = std::chrono::steady_clock::now() + kDeadline;
  while (!condition()) {
    CHECK(std::chrono::steady_clock::now() < end);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

sm::CreateTrainingJobRequest Request(int count) {
  sm::CreateTrainingJobRequest request;
  request.TrainingJobName = kJob;
  request.AlgorithmSpecification = sm::AlgorithmSpecification{};
  request.AlgorithmSpecification->TrainingImage = "sagebrush/python:latest";
  request.AlgorithmSpecification->TrainingInputMode = "File";
  request.RoleArn = "arn:aws:iam::000000000000:role/Role";
  request.OutputDataConfig.S3OutputPath = "s3://bucket/output";
  request.ResourceConfig = sm::ResourceConfig{.InstanceType = "ml.m5.large", .InstanceCount = count};
  request.StoppingCondition = sm::StoppingCondition{.MaxRuntimeInSeconds = 3600};
  return request;
}

// The engine's control plane on a fake machine; parts in the order of their construction.
struct Plane {
  explicit Plane(fs::path directory, int count) : directory(std::move(directory)) {
    fs::create_directories(this->directory / "machine");
    machine = std::make_shared<driver::FakeMachine>(this->directory / "machine");
    driver::FakeScript script;
    script.model = "";
    machine->SetScript(script);
    WriteUv();
    objects = Value(objstore::ObjectStore::Open(this->directory / "objects", owner, clock));
    CHECK(objects->CreateBucket("bucket").has_value());
    logs = Value(logstore::LogStore::Open(this->directory / "logs", clock));
    database = Value(Database::Open(this->directory / "control.db"));
    keys = Value(KeyRing::Open(this->directory / "credentials.json"));
    driver = std::make_unique<driver::FakeDriver>(machine);
    jobs.emplace(*database);
    images = std::make_unique<EnvironmentCache>(
        Value(ImageCatalog::Load({})), EnvironmentCache::Options{.directory = this->directory / "images",
                                                                 .uv = (this->directory / "uv").string(),
                                                                 .on_change = [this] { reconciler->WakeAll(); }});
    log_pump = std::make_unique<LogPump>(*driver, *logs);
    checkpoints = std::make_unique<CheckpointSync>(*driver, *objects);
    frontend = std::make_unique<TrainingJobFrontend>(
        *jobs, clock, TrainingJobFrontend::Options{{"000000000000", "us-west-2"}, [this](const JobName& job) {
                                                            reconciler->Wake(job);
                                                          }});
    TrainingJobReconciler::Options options;
    options.region = "us-west-2";
    options.capacity_vcpus = 2.0 * count;
    options.owner = owner;
    options.epoch = database->epoch();
    options.arn_of = [this](const std::string& job) { return frontend->ArnOf(job); };
    reconciler = std::make_unique<TrainingJobReconciler>(*jobs, *images, *objects, *driver, *log_pump, *checkpoints,
                                                         *keys, clock, options);
    driver->SetListener([this](const InstanceId& id, driver::News news) {
      if (news == driver::News::kLog) return log_pump->Wake(id);
      reconciler->WakeInstance(id);
    });
    log_pump->Start();
    CHECK(reconciler->Start().has_value());
  }
  ~Plane() {
    driver->SetListener(nullptr);
    reconciler->Stop();
    log_pump->Stop();
    checkpoints->Stop();
    images.reset();
  }

  template <class T>
  static T Value(Result<T> result) {
    CHECK(result.has_value());
    return *std::move(result);
  }
  // Makes the folder that uv would fill.
  void WriteUv() const {
    std::string script =
        "#!/bin/sh\nfor last; do :; done\ncase \"$*\" in *venv*--seed*) mkdir -p \"$last/bin\";; esac\n";
    CHECK(io::WriteFile(directory / "uv", script, 0755).has_value());
    fs::permissions(directory / "uv", fs::perms::owner_all);
  }

  fs::path directory;
  objstore::BlobOwner owner{::geteuid(), ::getegid()};
  ManualClock clock{1'000'000};  // as the fake machine has it; time stands still
  std::shared_ptr<driver::FakeMachine> machine;
  std::unique_ptr<objstore::ObjectStore> objects;
  std::unique_ptr<logstore::LogStore> logs;
  std::unique_ptr<Database> database;
  std::optional<KeyRing> keys;
  std::unique_ptr<driver::FakeDriver> driver;
  std::optional<TrainingJobTable> jobs;
  std::unique_ptr<TrainingJobReconciler> reconciler;
  std::unique_ptr<LogPump> log_pump;
  std::unique_ptr<CheckpointSync> checkpoints;
  std::unique_ptr<EnvironmentCache> images;
  std::unique_ptr<TrainingJobFrontend> frontend;
};

void Run(const fs::path& directory, int count) {
  Plane plane(directory, count);
  std::vector<InstanceId> ids;
  for (int rank = 0; rank < count; ++rank) ids.push_back(InstanceIdOf(JobName(kJob), 1, rank));
  auto all = [&](const std::function<bool(const InstanceId&)>& holds) {
    Await([&] { return std::all_of(ids.begin(), ids.end(), holds); });
  };
  auto advance = [&](Phase phase) {
    for (const InstanceId& id : ids) plane.machine->AdvanceTo(id, phase);
  };
  int64_t memory = PeakBytes();
  double cpu = CpuSeconds();
  auto begin = std::chrono::steady_clock::now();
  auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  CHECK(plane.frontend->Create(Request(count), "").has_value());
  all([&](const InstanceId& id) { return plane.machine->created(id) == 1; });
  double started = seconds();
  advance(Phase::kDownloading);
  advance(Phase::kReady);
  all([&](const InstanceId& id) { return count == 1 || plane.machine->release_calls(id) > 0; });
  double released = seconds();
  advance(Phase::kUploading);
  advance(Phase::kEnded);
  Await([&] { return plane.jobs->Active()->empty(); });
  double ended = seconds();
  boost::json::object report{{"instances", count},
                             {"cpu_seconds", CpuSeconds() - cpu},
                             {"start_seconds", started},
                             {"release_seconds", released},
                             {"seconds", ended},
                             {"memory_bytes", PeakBytes() - memory},
                             {"inspections", plane.machine->inspections()},
                             {"status", Plane::Value(plane.frontend->Describe({kJob})).TrainingJobStatus}};
  std::puts(boost::json::serialize(report).c_str());
}

}  // namespace
}  // namespace sagebrush::control

int main(int argc, char** argv) {
  std::optional<int64_t> count = argc == 2 ? sagebrush::ParseInt(argv[1]) : std::nullopt;
  if (!count || *count < 1 || *count > 1000) {
    std::fputs("usage: gang_simulated N, with N from 1 to 1000\n", stderr);
    return 2;
  }
  char pattern[] = "/tmp/sagebrush-gang-XXXXXX";
  CHECK(::mkdtemp(pattern) != nullptr);
  sagebrush::control::Run(pattern, static_cast<int>(*count));
  std::filesystem::remove_all(pattern);
  return 0;
}
