#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "serving/core/batching_parameters.h"
#include "serving/core/servable.h"

namespace sagebrush::serving {

// Merges the requests of one signature. There is no thread of its own: a caller of Run that finds fewer batches being
// computed than allowed computes one itself, and goes on with what has been queued meanwhile until the queue is empty;
// the others only queue their request and return. So a lone request never waits and never changes threads, and the more
// requests come the larger the batches become.
//
// A caller that is an event loop first takes in the other requests that have arrived, then computes one batch at a
// time.
//
// Requests are merged along the first dimension when their other dimensions agree (or are padded, where that is asked
// for). One whose deadline has passed or whose client has gone is dropped when its turn comes. When a merged run fails,
// each of its requests is run alone, so that only those at fault fail. Thread-safe; outlives its requests. Owned by
// shared_ptr, as an event loop may come back to it when its requests have been answered by others.
class Batcher : public std::enable_shared_from_this<Batcher> {
 public:
  // Runs inputs for the outputs of those indexes; called from many threads.
  using RunFunction = std::function<Result<Tensors>(std::span<const Tensor> inputs, std::span<const size_t> outputs)>;
  // Told the rows of every batch that is computed.
  using Observer = std::function<void(size_t rows)>;

  // `output_count`: of the signature.
  Batcher(BatchingParameters parameters, size_t output_count, RunFunction run, Observer observer);
  ~Batcher();
  Batcher(const Batcher&) = delete;

  // Every input has rank ≥ 1 and the same first dimension. kUnavailable at once when the queue is full;
  // kInvalidArgument for more rows than a batch may have.
  void Run(InferenceRequest request, InferenceCallback done);

 private:
  struct Task {
    InferenceRequest request;
    InferenceCallback done;
    size_t rows = 0;
    std::chrono::steady_clock::time_point queued_at;
  };
  using Batch = std::vector<Task>;

  void Split(InferenceRequest request, InferenceCallback done, size_t part_rows);
  void Lead(std::unique_lock<std::mutex> lock);
  void LeadOnLoop(io::EventLoop& loop, size_t tasks_before);
  Batch TakeBatch(std::unique_lock<std::mutex>& lock);
  bool Mergeable(const Task& first, const Task& next) const;
  void Compute(Batch batch);
  void ComputeAlone(Task& task);
  Result<Tensors> RunMerged(const Batch& batch, size_t rows);
  size_t PaddedRows(size_t rows) const;

  const BatchingParameters parameters_;
  const std::vector<size_t> all_outputs_;
  const size_t threads_;
  const RunFunction run_;
  const Observer observer_;

  std::mutex mutex_;
  std::condition_variable changed_;  // a task was queued
  std::deque<Task> queue_;
  size_t queued_rows_ = 0;
  size_t leaders_ = 0;                 // callers that compute batches now, or are event loops that soon will
  std::vector<io::EventLoop*> loops_;  // those of the leaders that are event loops
};

}  // namespace sagebrush::serving
