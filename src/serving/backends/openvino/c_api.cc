#include "serving/backends/openvino/c_api.h"

#include <dlfcn.h>

#include <filesystem>
#include <string>

namespace sagebrush::serving::openvino {
namespace {

constexpr std::string_view kLibraryPrefix = "libopenvino_c.so";

Result<std::string> FindLibrary(const std::string& directory) {
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(directory, failure)) {
    if (entry.path().filename().native().starts_with(kLibraryPrefix)) return entry.path().native();
  }
  return Fail(NotFound("There is no " + std::string(kLibraryPrefix) + " in " + directory +
                       ". Name the folder openvino/libs of OpenVINO's pip package with --openvino, or install it: "
                       "pip install openvino"));
}

}  // namespace

Result<CApi> OpenCApi(const std::string& directory) {
  TRY(std::string library, FindLibrary(directory));
  void* handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return Fail(Error(ErrorKind::kUnavailable, std::string("OpenVINO cannot be loaded: ") + ::dlerror()));
  }
  CApi api{};
  std::string missing;
  auto bind = [&]<class Function>(const char* name, Function*& function) {
    function = reinterpret_cast<Function*>(::dlsym(handle, (std::string("ov_") + name).c_str()));
    if (function == nullptr) missing = name;
  };
#define SAGEBRUSH_BIND(name) bind(#name, api.name)
  SAGEBRUSH_BIND(get_last_err_msg);
  SAGEBRUSH_BIND(core_create);
  SAGEBRUSH_BIND(core_free);
  SAGEBRUSH_BIND(core_read_model);
  SAGEBRUSH_BIND(model_free);
  SAGEBRUSH_BIND(core_compile_model);
  SAGEBRUSH_BIND(compiled_model_free);
  SAGEBRUSH_BIND(compiled_model_inputs_size);
  SAGEBRUSH_BIND(compiled_model_outputs_size);
  SAGEBRUSH_BIND(compiled_model_input_by_index);
  SAGEBRUSH_BIND(compiled_model_output_by_index);
  SAGEBRUSH_BIND(compiled_model_create_infer_request);
  SAGEBRUSH_BIND(output_const_port_free);
  SAGEBRUSH_BIND(port_get_any_name);
  SAGEBRUSH_BIND(port_get_element_type);
  SAGEBRUSH_BIND(free);
  SAGEBRUSH_BIND(infer_request_free);
  SAGEBRUSH_BIND(infer_request_set_input_tensor_by_index);
  SAGEBRUSH_BIND(infer_request_infer);
  SAGEBRUSH_BIND(infer_request_get_output_tensor_by_index);
  SAGEBRUSH_BIND(tensor_create_from_host_ptr);
  SAGEBRUSH_BIND(tensor_free);
  SAGEBRUSH_BIND(tensor_get_shape);
  SAGEBRUSH_BIND(tensor_get_byte_size);
  SAGEBRUSH_BIND(tensor_data);
  SAGEBRUSH_BIND(shape_free);
#undef SAGEBRUSH_BIND
  if (missing.empty()) return api;
  return Fail(Error(ErrorKind::kUnavailable, "OpenVINO's library " + library + " lacks ov_" + missing +
                                                 "; OpenVINO 2024.0 or newer is needed."));
}

}  // namespace sagebrush::serving::openvino
