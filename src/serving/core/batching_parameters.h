#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

namespace sagebrush::serving {

// TensorFlow Serving's batching parameters, per model version and signature. The defaults are the adaptive ones: a lone
// request runs at once, those that come while all batch threads are busy are merged.
struct BatchingParameters {
  bool enabled = true;
  size_t max_batch_size = 64;                  // rows that are merged
  std::chrono::microseconds batch_timeout{0};  // how long a batch that is not full waits for more
  size_t num_batch_threads = 0;                // batches computed at once; 0: one a core
  size_t max_enqueued_batches = 64;            // full batches that may wait; beyond them requests get 503
  std::vector<size_t> allowed_batch_sizes;     // ascending, the last is max_batch_size; batches are padded up to one
  bool pad_variable_length_inputs = false;     // pads inputs with zeros to the longest of the batch
  // A request of more rows than max_batch_size: refused where a user has set the parameters (as TensorFlow Serving
  // does), run alone otherwise; with splitting, run in parts of max_execution_batch_size rows (0: max_batch_size).
  bool refuse_larger_requests = false;
  bool enable_large_batch_splitting = false;
  size_t max_execution_batch_size = 0;
};

}  // namespace sagebrush::serving
