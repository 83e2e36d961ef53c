#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace sagebrush::serving::tensorflow {

// TensorFlow's C interface, as much of it as serving takes: opaque types and the functions' types, declared here
// because the library is opened at run time. Source: tensorflow/c/{c_api,tf_buffer,tf_status,tf_tensor,tf_tstring}.h,
// which TensorFlow keeps compatible within 2.x.
struct TF_Status;
struct TF_SessionOptions;
struct TF_Graph;
struct TF_Session;
struct TF_Operation;
struct TF_Tensor;
struct TF_TString;

struct TF_Buffer {
  const void* data;
  size_t length;
  void (*data_deallocator)(void* data, size_t length);
};

struct TF_Output {
  TF_Operation* operation;
  int index;
};

// A string in a tensor: opaque, of a fixed size since TensorFlow 2.4.
inline constexpr size_t kTStringBytes = 24;

struct CApi {
  const char* (*Version)();
  TF_Status* (*NewStatus)();
  void (*DeleteStatus)(TF_Status*);
  int (*GetCode)(const TF_Status*);
  const char* (*Message)(const TF_Status*);
  TF_SessionOptions* (*NewSessionOptions)();
  void (*DeleteSessionOptions)(TF_SessionOptions*);
  void (*SetConfig)(TF_SessionOptions*, const void* proto, size_t proto_bytes, TF_Status*);
  TF_Graph* (*NewGraph)();
  void (*DeleteGraph)(TF_Graph*);
  TF_Operation* (*GraphOperationByName)(TF_Graph*, const char* name);
  TF_Session* (*LoadSessionFromSavedModel)(const TF_SessionOptions*, const TF_Buffer* run_options,
                                           const char* directory, const char* const* tags, int tag_count, TF_Graph*,
                                           TF_Buffer* meta_graph_def, TF_Status*);
  void (*CloseSession)(TF_Session*, TF_Status*);
  void (*DeleteSession)(TF_Session*, TF_Status*);
  void (*SessionRun)(TF_Session*, const TF_Buffer* run_options, const TF_Output* inputs, TF_Tensor* const* input_values,
                     int input_count, const TF_Output* outputs, TF_Tensor** output_values, int output_count,
                     const TF_Operation* const* targets, int target_count, TF_Buffer* run_metadata, TF_Status*);
  TF_Buffer* (*NewBuffer)();
  void (*DeleteBuffer)(TF_Buffer*);
  TF_Tensor* (*NewTensor)(int type, const int64_t* dims, int dim_count, void* data, size_t bytes,
                          void (*deallocator)(void* data, size_t bytes, void* argument), void* argument);
  TF_Tensor* (*AllocateTensor)(int type, const int64_t* dims, int dim_count, size_t bytes);
  void (*DeleteTensor)(TF_Tensor*);
  int (*TensorType)(const TF_Tensor*);
  int (*NumDims)(const TF_Tensor*);
  int64_t (*Dim)(const TF_Tensor*, int dim_index);
  void* (*TensorData)(const TF_Tensor*);
  void (*StringInit)(TF_TString*);
  void (*StringCopy)(TF_TString* to, const char* from, size_t bytes);
  const char* (*StringGetDataPointer)(const TF_TString*);
  size_t (*StringGetSize)(const TF_TString*);
};

// Opens `library` (…/libtensorflow_cc.so.2) and finds every function. It stays open until the process ends: TensorFlow
// cannot be unloaded. kNotFound or kUnavailable with the loader's words.
Result<CApi> OpenCApi(const char* library);

}  // namespace sagebrush::serving::tensorflow
