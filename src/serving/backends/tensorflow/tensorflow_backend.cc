#include "serving/backends/tensorflow/tensorflow_backend.h"

#include <cstdlib>

#include "base/log.h"
#include "io/subprocess.h"
#include "serving/backends/tensorflow/c_api.h"
#include "serving/backends/tensorflow/tensorflow_session.h"
#include "serving/signature/wire_format.h"

namespace sagebrush::serving {
namespace {

constexpr const char* kLibraryName = "libtensorflow_cc.so.2";

// A tensorflow.ConfigProto. Field numbers: tensorflow/core/protobuf/config.proto.
std::string SessionConfig(const TensorFlowOptions& options) {
  constexpr uint32_t kIntraOpThreads = 2, kInterOpThreads = 5;
  WireWriter config;
  config.Varint(kIntraOpThreads, static_cast<uint64_t>(static_cast<int64_t>(options.intra_op_threads)));
  config.Varint(kInterOpThreads, static_cast<uint64_t>(static_cast<int64_t>(options.inter_op_threads)));
  return config.Take();
}

class TensorFlowBackend final : public Backend {
 public:
  TensorFlowBackend(tensorflow::CApi api, std::string config) : api_(api), config_(std::move(config)) {}

  std::string_view name() const override { return "tensorflow"; }
  Result<std::unique_ptr<Session>> Load(const std::filesystem::path& directory) override {
    return tensorflow::LoadSession(api_, config_, directory);
  }

 private:
  const tensorflow::CApi api_;
  const std::string config_;
};

// The folder `tensorflow` of the environment whose interpreter that is, without starting TensorFlow.
std::optional<std::filesystem::path> LibraryOfPython(const std::string& python) {
  Result<io::CommandOutcome> outcome = io::Run({.argv = {python, "-c",
                                                         "import importlib.util as u; s = u.find_spec('tensorflow'); "
                                                         "print(s.submodule_search_locations[0] if s else '')"},
                                                .deadline = std::chrono::seconds(20)});
  if (!outcome || outcome->exit_code != 0) return std::nullopt;
  std::string path = outcome->output.substr(0, outcome->output.find('\n'));
  if (path.empty() || !std::filesystem::exists(std::filesystem::path(path) / kLibraryName)) return std::nullopt;
  return path;
}

}  // namespace

Result<std::unique_ptr<Backend>> MakeTensorFlowBackend(const TensorFlowOptions& options) {
  std::filesystem::path library = options.library_directory / kLibraryName;
  if (!std::filesystem::exists(library)) {
    return Fail(NotFound("There is no " + library.native() +
                         ". Name the folder of TensorFlow's pip package with --tensorflow, or install it: "
                         "pip install tensorflow-cpu"));
  }
  // Read once by TensorFlow, while its library is loaded; what the user has set in the environment stays.
  if (options.onednn) ::setenv("TF_ENABLE_ONEDNN_OPTS", *options.onednn ? "1" : "0", 1);
  ::setenv("TF_CPP_MIN_LOG_LEVEL", "1", 0);
  TRY(tensorflow::CApi api, tensorflow::OpenCApi(library.c_str()));
  Log(LogLevel::kInfo, "tensorflow_loaded",
      {{"version", api.Version()},
       {"library", library.native()},
       {"onednn", options.onednn ? (*options.onednn ? "on" : "off") : "by TensorFlow"},
       {"intra_op_threads", options.intra_op_threads},
       {"inter_op_threads", options.inter_op_threads}});
  return std::make_unique<TensorFlowBackend>(api, SessionConfig(options));
}

Result<std::filesystem::path> FindTensorFlowLibrary() {
  if (const char* directory = std::getenv("SAGEBRUSH_TENSORFLOW"); directory != nullptr && *directory != '\0') {
    return std::filesystem::path(directory);
  }
  if (const char* environment = std::getenv("VIRTUAL_ENV"); environment != nullptr && *environment != '\0') {
    if (auto found = LibraryOfPython(std::string(environment) + "/bin/python")) return *found;
  }
  if (auto found = LibraryOfPython("python3")) return *found;
  return Fail(
      NotFound("TensorFlow's library was not found: SAGEBRUSH_TENSORFLOW is not set, and neither VIRTUAL_ENV nor "
               "python3 has the "
               "package tensorflow. Install it (pip install tensorflow-cpu) or name its folder with --tensorflow."));
}

}  // namespace sagebrush::serving
