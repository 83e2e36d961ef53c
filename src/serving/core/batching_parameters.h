#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

namespace sagebrush::serving {

// TensorFlow Serving's batching parameters. The defaults are the adaptive ones: a lone request runs at once, those that
// come while all batch threads are busy are merged.
struct BatchingParameters {
  size_t max_batch_size = 64;                  // rows
  std::chrono::microseconds batch_timeout{0};  // how long a batch that is not full waits for more
  size_t num_batch_threads = 0;             // batches computed at once, per model version and signature; 0: one a core
  size_t max_enqueued_batches = 64;         // full batches that may wait; beyond them requests get 503
  std::vector<size_t> allowed_batch_sizes;  // ascending, the last is max_batch_size; batches are padded up
  bool pad_variable_length_inputs = false;  // pads inputs to the longest of the batch with zeros
  bool enable_large_batch_splitting = false;  // a request of more rows than max_execution_batch_size is split
  size_t max_execution_batch_size = 0;        // 0: max_batch_size
};

}  // namespace sagebrush::serving
