#include "control/images/horovod.h"

#include <algorithm>
#include <thread>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "io/file.h"
#include "io/subprocess.h"

namespace sagebrush::control {
namespace fs = std::filesystem;
namespace {

constexpr std::chrono::seconds kBuildDeadline{7200};
constexpr std::string_view kRecipe = "1";  // a change of the build's options is a new wheel

// Published archives by their hashes: setup.py of whatever else had the name would run with the engine's rights.
constexpr std::pair<std::string_view, std::string_view> kArchives[] = {
    {"0.28.1", "92a43f5a94c43907a56805bad15f19700c62ffc83b7ca483f9e104e229f67ef0"},
};

// Prints the version of TensorFlow, or the wheel of argv[1]/horovod-<argv[2]>-*.whl whose metadata names it.
constexpr char kTensorFlowVersion[] = R"(
import importlib.metadata as metadata
for name in ("tensorflow-cpu", "tensorflow", "tensorflow-aarch64"):
    try:
        print(metadata.version(name))
        break
    except metadata.PackageNotFoundError:
        pass
)";
constexpr char kFindWheel[] = R"(
import json, pathlib, sys, zipfile
tag = "cp%d%d" % sys.version_info[:2]
for wheel in sorted(pathlib.Path(sys.argv[1]).glob("horovod-%s-%s-*.whl" % (sys.argv[2], tag))):
    try:
        with zipfile.ZipFile(wheel) as file:
            if json.loads(file.read("horovod/metadata.json")).get("tensorflow") == sys.argv[3]:
                print(wheel)
                break
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        continue  # no wheel, or one that does not say
)";
// The extension itself, not only the package's Python.
constexpr char kImport[] = "import horovod.tensorflow as hvd; assert hvd.mpi_built()";

// Stands in for cmake while TensorFlow from 2.19 on is built against.
constexpr char kCMakeWithoutXla[] = R"(#!/bin/sh
for argument in "$@"; do
  lists="$argument/horovod/tensorflow/CMakeLists.txt"
  if [ -f "$lists" ]; then sed -i '/xla_mpi_ops\.cc/d' "$lists"; fi
done
exec cmake "$@"
)";

class Installer {
 public:
  explicit Installer(const HorovodInstall& install) : install_(install) {}

  Result<void> Run() {
    TRY(tensorflow_, Output({install_.python.string(), "-c", kTensorFlowVersion}));
    if (tensorflow_.empty()) {
      return Fail(Error(ErrorKind::kUnavailable, "Horovod needs TensorFlow in the same environment"));
    }
    if (!install_.prebuilt.empty()) {
      TRY(std::string wheel, Output({install_.python.string(), "-c", kFindWheel, install_.prebuilt.string(),
                                     install_.version, tensorflow_}));
      if (!wheel.empty() && Installs(wheel)) return {};
    }
    TRY(fs::path kept, Kept());
    TRY(std::string wheel,
        Output({install_.python.string(), "-c", kFindWheel, kept.string(), install_.version, tensorflow_}));
    if (!wheel.empty() && Installs(wheel)) return {};
    TRYV(CheckTools());
    TRYV(Build(kept));
    TRY(wheel, Output({install_.python.string(), "-c", kFindWheel, kept.string(), install_.version, tensorflow_}));
    if (!wheel.empty() && Installs(wheel)) return {};
    return Fail(
        Error(ErrorKind::kUnavailable, "Horovod " + install_.version + " was built, but does not load: " + refusal_));
  }

 private:
  io::Command Command(std::vector<std::string> argv) const {
    io::Command command{.argv = std::move(argv)};
    command.environment = install_.environment;
    command.cancelled = install_.cancelled;
    return command;
  }

  // The last line that a program printed, of one that may not fail.
  Result<std::string> Output(std::vector<std::string> argv) const {
    TRY(io::CommandOutcome outcome, io::Run(Command(std::move(argv))));
    std::string_view text = outcome.output;
    while (text.ends_with('\n')) text.remove_suffix(1);
    std::string last(Split(text, '\n').back());
    if (outcome.exit_code != 0) return Fail(Error(ErrorKind::kUnavailable, last));
    return last;
  }

  bool Installs(const std::string& wheel) {
    io::Command pip =
        Command({install_.uv, "--no-config", "pip", "install", "--quiet", "--no-build", "--reinstall-package",
                 "horovod", "--compile-bytecode", "--python", install_.python.string(), wheel});
    for (const io::Command& step : {pip, Command({install_.python.string(), "-c", kImport})}) {
      Result<io::CommandOutcome> outcome = io::Run(step);
      if (outcome && outcome->exit_code == 0) continue;
      refusal_ = outcome ? std::string(Trim(outcome->output)) : outcome.error().message;
      if (refusal_.size() > 400) refusal_.erase(0, refusal_.size() - 400);
      Log(LogLevel::kWarning, "wheel_refused", {{"wheel", wheel}, {"error", refusal_}});
      return false;
    }
    return true;
  }

  // Where the wheel is kept that is built of this Horovod, for this Python, TensorFlow and OpenMPI.
  Result<fs::path> Kept() const {
    TRY(std::string python, Output({install_.python.string(), "-c", "import sys; print(sys.version)"}));
    Result<std::string> mpi = Output({"sh", "-c", "mpirun --version 2>&1 | head -n 1"});
    std::string content =
        std::string(kRecipe) + "\n" + install_.version + "\n" + tensorflow_ + "\n" + python + "\n" + (mpi ? *mpi : "");
    return install_.built / HexEncode(Sha256(content)).substr(0, 24);
  }

  Result<void> CheckTools() const {
    for (const char* tool : {"mpirun", "mpicxx", "cmake", "c++", "make"}) {
      Result<io::CommandOutcome> found = io::Run(Command({"sh", "-c", std::string("command -v ") + tool}));
      if (found && found->exit_code == 0) continue;
      return Fail(Error(ErrorKind::kUnavailable,
                        "Horovod has to be built here, and there is no " + std::string(tool) +
                            ": apt-get install libopenmpi-dev openmpi-bin cmake make g++ (or name a directory with a "
                            "wheel of it by the engine's setting 'wheels')"));
    }
    return {};
  }

  // 2.19 and later.
  bool WithoutXla() const {
    std::vector<std::string_view> parts = Split(tensorflow_, '.');
    int64_t major = ParseInt(parts[0]).value_or(0), minor = parts.size() > 1 ? ParseInt(parts[1]).value_or(0) : 0;
    return major > 2 || (major == 2 && minor >= 19);
  }

  Result<void> Build(const fs::path& kept) {
    fs::path work = kept.string() + ".build-" + RandomName();
    TRYV(io::MakeDirectories(work / "tmp"));
    install_.say("building Horovod " + install_.version + " for TensorFlow " + tensorflow_ +
                 " from its source; this takes minutes, and is done once");
    Result<void> built = BuildIn(work);
    if (built) {
      TRYV(io::RemoveTree(kept));
      std::error_code error;
      fs::rename(work / "out", kept, error);
      if (error) built = Fail(FromErrno(error.value(), "cannot keep the wheel in " + kept.string()));
      install_.say("Horovod is built");
    }
    TRYV(io::RemoveTree(work));
    return built;
  }

  std::string RandomName() const { return HexEncode(Sha256(std::to_string(MonotonicMs()) + tensorflow_)).substr(0, 8); }

  Result<void> BuildIn(const fs::path& work) {
    // Beside the environment, which shall not keep them.
    io::Command tools = Command({install_.uv, "--no-config", "pip", "install", "--quiet", "--no-build", "--target",
                                 (work / "tools").string(), "--python", install_.python.string(), "setuptools<70",
                                 "wheel", "packaging", "psutil", "cloudpickle", "pyyaml", "cffi"});
    TRY(io::CommandOutcome fetched, io::Run(tools));
    if (fetched.exit_code != 0) return Fail(Error(ErrorKind::kUnavailable, fetched.output));
    std::string requirement = "horovod==" + install_.version;
    for (const auto& [version, hash] : kArchives) {
      if (version == install_.version) requirement += " --hash=sha256:" + std::string(hash);
    }
    TRYV(io::WriteFile(work / "requirements.txt", requirement + "\n"));
    io::Command build = Command({install_.python.string(), "-m", "pip", "wheel", "-v", "--no-build-isolation",
                                 "--no-deps", "--no-cache-dir", "--no-binary", "horovod", "--disable-pip-version-check",
                                 "-w", (work / "out").string(), "-r", (work / "requirements.txt").string()});
    AddBuildVariables(work, build.environment);
    if (WithoutXla()) {
      TRYV(io::WriteFile(work / "cmake", kCMakeWithoutXla, 0755));
    }
    build.deadline = kBuildDeadline;
    std::string first_error;
    build.on_line = [this, &first_error, told = 0, begun_ms = MonotonicMs()](std::string_view line) mutable {
      if (first_error.empty() && line.find("error: ") != std::string_view::npos) first_error = Trim(line);
      int share = BuildShare(Trim(line));
      if (share < told + 10) return;
      told = share - share % 10;
      install_.say("building Horovod: " + std::to_string(told) + " % after " +
                   std::to_string((MonotonicMs() - begun_ms) / 1000) + " s");
    };
    TRY(io::CommandOutcome outcome, io::Run(build));
    if (outcome.exit_code == 0) return {};
    Log(LogLevel::kWarning, "horovod_build_failed", {{"output", outcome.output.substr(outcome.output.size() / 2)}});
    if (first_error.empty()) first_error = Split(Trim(outcome.output), '\n').back();
    return Fail(Error(ErrorKind::kUnavailable, "Horovod " + install_.version + " does not build against TensorFlow " +
                                                   tensorflow_ + " (the engine's log has more): " + first_error));
  }

  void AddBuildVariables(const fs::path& work, std::vector<std::pair<std::string, std::string>>& variables) const {
    const char* path = ::getenv("PATH");
    std::string jobs = std::to_string(std::max(1u, std::thread::hardware_concurrency()));
    variables.insert(variables.end(),
                     {{"PATH", install_.python.parent_path().string() + ":" + (path ? path : "/usr/bin:/bin")},
                      {"PYTHONPATH", (work / "tools").string()},
                      {"TMPDIR", (work / "tmp").string()},
                      {"MAKEFLAGS", "-j" + jobs},
                      {"HOROVOD_WITH_TENSORFLOW", "1"},
                      {"HOROVOD_WITH_MPI", "1"},
                      {"HOROVOD_WITHOUT_PYTORCH", "1"},
                      {"HOROVOD_WITHOUT_MXNET", "1"},
                      {WithoutXla() ? "HOROVOD_WITHOUT_GLOO" : "HOROVOD_WITH_GLOO", "1"}});
    if (WithoutXla()) variables.emplace_back("HOROVOD_CMAKE", (work / "cmake").string());
  }

  const HorovodInstall& install_;
  std::string tensorflow_, refusal_;
};

}  // namespace

int BuildShare(std::string_view line) {
  if (line.size() < 6 || line[0] != '[' || line[4] != '%' || line[5] != ']') return -1;
  std::optional<int64_t> share = ParseInt(Trim(line.substr(1, 3)));
  return share ? static_cast<int>(*share) : -1;
}

Result<void> InstallHorovod(const HorovodInstall& install) { return Installer(install).Run(); }

}  // namespace sagebrush::control
