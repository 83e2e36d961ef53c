#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace sagebrush::serving::openvino {

// OpenVINO's C interface, as much of it as serving takes, for its library is opened at run time. Source:
// openvino/c/{ov_core,ov_compiled_model,ov_infer_request,ov_tensor,ov_shape,ov_node}.h. Statuses: 0 is success. Numbers
// of element types have changed between releases, so none is written here: they are asked of a model's ports.
struct ov_core;
struct ov_model;
struct ov_compiled_model;
struct ov_infer_request;
struct ov_tensor;
struct ov_output_const_port;

struct ov_shape {
  int64_t rank;
  int64_t* dims;
};

using Status = int;
using ElementType = int;

struct CApi {
  const char* (*get_last_err_msg)();
  Status (*core_create)(ov_core**);
  void (*core_free)(ov_core*);
  Status (*core_read_model)(const ov_core*, const char* path, const char* weights_path, ov_model**);
  void (*model_free)(ov_model*);
  // Behind the model: as many strings, keys and values in turn, as `property_count` says.
  Status (*core_compile_model)(const ov_core*, const ov_model*, const char* device, size_t property_count,
                               ov_compiled_model**, ...);
  void (*compiled_model_free)(ov_compiled_model*);
  Status (*compiled_model_inputs_size)(const ov_compiled_model*, size_t*);
  Status (*compiled_model_outputs_size)(const ov_compiled_model*, size_t*);
  Status (*compiled_model_input_by_index)(const ov_compiled_model*, size_t, ov_output_const_port**);
  Status (*compiled_model_output_by_index)(const ov_compiled_model*, size_t, ov_output_const_port**);
  Status (*compiled_model_create_infer_request)(const ov_compiled_model*, ov_infer_request**);
  void (*output_const_port_free)(ov_output_const_port*);
  Status (*port_get_any_name)(const ov_output_const_port*, char**);
  Status (*port_get_element_type)(const ov_output_const_port*, ElementType*);
  void (*free)(const char*);
  void (*infer_request_free)(ov_infer_request*);
  Status (*infer_request_set_input_tensor_by_index)(ov_infer_request*, size_t, const ov_tensor*);
  Status (*infer_request_infer)(ov_infer_request*);
  Status (*infer_request_get_output_tensor_by_index)(const ov_infer_request*, size_t, ov_tensor**);
  Status (*tensor_create_from_host_ptr)(ElementType, ov_shape, void* data, ov_tensor**);
  void (*tensor_free)(ov_tensor*);
  Status (*tensor_get_shape)(const ov_tensor*, ov_shape*);
  Status (*tensor_get_byte_size)(const ov_tensor*, size_t*);
  Status (*tensor_data)(const ov_tensor*, void**);
  Status (*shape_free)(ov_shape*);
};

// Opens libopenvino_c in `directory` (the folder `openvino/libs` of the pip package), whatever its version's number.
Result<CApi> OpenCApi(const std::string& directory);

}  // namespace sagebrush::serving::openvino
