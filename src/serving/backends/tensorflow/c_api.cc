#include "serving/backends/tensorflow/c_api.h"

#include <dlfcn.h>

#include <string>

namespace sagebrush::serving::tensorflow {
namespace {

template <class Function>
Result<void> Bind(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(::dlsym(library, name));
  if (function != nullptr) return {};
  return Fail(Error(ErrorKind::kUnavailable,
                    std::string("TensorFlow's library lacks ") + name + "; TensorFlow 2.5 or newer is needed."));
}

}  // namespace

Result<CApi> OpenCApi(const char* library) {
  // RTLD_LOCAL: TensorFlow exports its own protobuf, Abseil and BoringSSL, which nothing else may come to see.
  void* handle = ::dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return Fail(Error(ErrorKind::kUnavailable, std::string("TensorFlow cannot be loaded: ") + ::dlerror()));
  }
  CApi api{};
  TRYV(Bind(handle, "TF_Version", api.Version));
  TRYV(Bind(handle, "TF_NewStatus", api.NewStatus));
  TRYV(Bind(handle, "TF_DeleteStatus", api.DeleteStatus));
  TRYV(Bind(handle, "TF_GetCode", api.GetCode));
  TRYV(Bind(handle, "TF_Message", api.Message));
  TRYV(Bind(handle, "TF_NewSessionOptions", api.NewSessionOptions));
  TRYV(Bind(handle, "TF_DeleteSessionOptions", api.DeleteSessionOptions));
  TRYV(Bind(handle, "TF_SetConfig", api.SetConfig));
  TRYV(Bind(handle, "TF_NewGraph", api.NewGraph));
  TRYV(Bind(handle, "TF_DeleteGraph", api.DeleteGraph));
  TRYV(Bind(handle, "TF_GraphOperationByName", api.GraphOperationByName));
  TRYV(Bind(handle, "TF_LoadSessionFromSavedModel", api.LoadSessionFromSavedModel));
  TRYV(Bind(handle, "TF_CloseSession", api.CloseSession));
  TRYV(Bind(handle, "TF_DeleteSession", api.DeleteSession));
  TRYV(Bind(handle, "TF_SessionRun", api.SessionRun));
  TRYV(Bind(handle, "TF_NewBuffer", api.NewBuffer));
  TRYV(Bind(handle, "TF_DeleteBuffer", api.DeleteBuffer));
  TRYV(Bind(handle, "TF_NewTensor", api.NewTensor));
  TRYV(Bind(handle, "TF_AllocateTensor", api.AllocateTensor));
  TRYV(Bind(handle, "TF_DeleteTensor", api.DeleteTensor));
  TRYV(Bind(handle, "TF_TensorType", api.TensorType));
  TRYV(Bind(handle, "TF_NumDims", api.NumDims));
  TRYV(Bind(handle, "TF_Dim", api.Dim));
  TRYV(Bind(handle, "TF_TensorData", api.TensorData));
  TRYV(Bind(handle, "TF_StringInit", api.StringInit));
  TRYV(Bind(handle, "TF_StringCopy", api.StringCopy));
  TRYV(Bind(handle, "TF_StringGetDataPointer", api.StringGetDataPointer));
  TRYV(Bind(handle, "TF_StringGetSize", api.StringGetSize));
  return api;
}

}  // namespace sagebrush::serving::tensorflow
