#include "serving/core/batcher.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "io/cores.h"

namespace sagebrush::serving {
namespace {

size_t RowsOf(const InferenceRequest& request) { return static_cast<size_t>(request.inputs.front().shape()[0]); }

bool SameRowShape(const Tensor& a, const Tensor& b) {
  return a.shape().size() == b.shape().size() &&
         std::equal(a.shape().begin() + 1, a.shape().end(), b.shape().begin() + 1);
}

// Copies the block of `from` (dimensions from `axis` on) into the larger block of `to`, whose rest stays zero.
void CopyPadded(const Tensor& from, const std::byte* source, const Tensor& to, std::byte* target, size_t axis) {
  auto block = [](const Tensor& tensor, size_t first_axis) {
    size_t bytes = ElementBytes(tensor.type());
    for (size_t index = first_axis; index < tensor.shape().size(); ++index) {
      bytes *= static_cast<size_t>(tensor.shape()[index]);
    }
    return bytes;
  };
  if (axis + 1 >= from.shape().size()) {
    std::memcpy(target, source, block(from, axis));
    return;
  }
  for (int64_t index = 0; index < from.shape()[axis]; ++index) {
    CopyPadded(from, source, to, target, axis + 1);
    source += block(from, axis + 1);
    target += block(to, axis + 1);
  }
}

// Zeros behind the elements of every dimension but the first, so that all parts have the same row shape.
Tensor Padded(const Tensor& tensor, const Shape& wanted) {
  Shape shape = wanted;
  shape[0] = tensor.shape()[0];
  if (shape == tensor.shape()) return tensor;
  Tensor padded = Tensor::Numeric(tensor.type(), std::move(shape));
  std::memset(padded.mutable_data(), 0, padded.byte_size());
  CopyPadded(tensor, tensor.data(), padded, padded.mutable_data(), 0);
  return padded;
}

// One input of all requests as one tensor, its first row repeated to fill `rows`.
Result<Tensor> Merge(std::vector<Tensor> parts, size_t rows, bool pad) {
  Shape longest = parts.front().shape();
  for (const Tensor& part : parts) {
    for (size_t axis = 1; axis < longest.size(); ++axis) longest[axis] = std::max(longest[axis], part.shape()[axis]);
  }
  size_t have = 0;
  for (Tensor& part : parts) {
    if (pad && part.type() != DataType::kString) part = Padded(part, longest);
    have += static_cast<size_t>(part.shape()[0]);
  }
  for (; have < rows; ++have) parts.push_back(parts.front().Rows(0, 1));
  return Concatenate(parts);
}

}  // namespace

Batcher::Batcher(BatchingParameters parameters, size_t output_count, RunFunction run, Observer observer)
    : parameters_(std::move(parameters)),
      all_outputs_(AllOutputs(output_count)),
      threads_(parameters_.num_batch_threads > 0 ? parameters_.num_batch_threads
                                                 : static_cast<size_t>(io::UsableCores())),
      run_(std::move(run)),
      observer_(std::move(observer)) {
  CHECK(parameters_.max_batch_size > 0);
}

Batcher::~Batcher() { CHECK(queue_.empty() && leaders_ == 0); }

void Batcher::Run(InferenceRequest request, InferenceCallback done) {
  size_t rows = RowsOf(request);
  if (rows > parameters_.max_batch_size) {
    if (parameters_.enable_large_batch_splitting) {
      size_t part = parameters_.max_execution_batch_size;
      return Split(std::move(request), std::move(done), part > 0 ? part : parameters_.max_batch_size);
    }
    if (parameters_.refuse_larger_requests) {
      return done(Fail(InvalidArgument(
          fmt::format("Task size {} is larger than maximum input batch size {}", rows, parameters_.max_batch_size))));
    }
  }
  std::unique_lock lock(mutex_);
  // What a free leader takes at once does not wait, so it is not bounded.
  io::EventLoop* loop = request.context.loop;
  bool led = std::ranges::find(loops_, loop) != loops_.end();  // never null ones
  bool waits = led || leaders_ >= threads_;
  if (waits && queued_rows_ + rows > parameters_.max_enqueued_batches * parameters_.max_batch_size && !queue_.empty()) {
    lock.unlock();
    return done(
        Fail(Error(ErrorKind::kUnavailable, "The batch scheduling queue to which this task was submitted is full")));
  }
  queue_.push_back({std::move(request), std::move(done), rows, std::chrono::steady_clock::now()});
  queued_rows_ += rows;
  changed_.notify_one();
  if (waits) return;
  ++leaders_;
  if (loop == nullptr) return Lead(std::move(lock));
  loops_.push_back(loop);
  loop->Later([self = shared_from_this(), loop] { self->LeadOnLoop(*loop, 1); });
}

// Clients whose requests were answered together send their next ones one shortly after the other: as long as each turn
// of the loop brings more, the batch is left to grow.
void Batcher::LeadOnLoop(io::EventLoop& loop, size_t tasks_before) {
  std::unique_lock lock(mutex_);
  auto again = [&](size_t tasks) {
    loop.Later([self = shared_from_this(), &loop, tasks] { self->LeadOnLoop(loop, tasks); });
  };
  if (queue_.size() > tasks_before && queued_rows_ < parameters_.max_batch_size) return again(queue_.size());
  if (!queue_.empty()) {
    Batch batch = TakeBatch(lock);
    lock.unlock();
    if (!batch.empty()) Compute(std::move(batch));
    lock.lock();
  }
  if (!queue_.empty()) return again(queue_.size());
  std::erase(loops_, &loop);
  --leaders_;
}

void Batcher::Lead(std::unique_lock<std::mutex> lock) {
  while (!queue_.empty()) {
    Batch batch = TakeBatch(lock);
    lock.unlock();
    if (!batch.empty()) Compute(std::move(batch));
    lock.lock();
  }
  --leaders_;
}

bool Batcher::Mergeable(const Task& first, const Task& next) const {
  for (size_t index = 0; index < first.request.inputs.size(); ++index) {
    const Tensor& a = first.request.inputs[index];
    const Tensor& b = next.request.inputs[index];
    bool paddable = parameters_.pad_variable_length_inputs && a.type() != DataType::kString;
    if (paddable ? a.shape().size() != b.shape().size() : !SameRowShape(a, b)) return false;
  }
  return true;
}

// The first task and those behind it that fit; waits for more, up to the batch timeout, while there is room. Empty when
// another leader was quicker.
Batcher::Batch Batcher::TakeBatch(std::unique_lock<std::mutex>& lock) {
  if (parameters_.batch_timeout.count() > 0) {
    auto until = queue_.front().queued_at + parameters_.batch_timeout;
    changed_.wait_until(lock, until, [&] { return queue_.empty() || queued_rows_ >= parameters_.max_batch_size; });
  }
  Batch batch;
  size_t rows = 0;
  while (!queue_.empty()) {
    Task& next = queue_.front();
    if (!batch.empty() && (rows + next.rows > parameters_.max_batch_size || !Mergeable(batch.front(), next))) {
      break;
    }
    rows += next.rows;
    queued_rows_ -= next.rows;
    batch.push_back(std::move(next));
    queue_.pop_front();
  }
  return batch;
}

void Batcher::Compute(Batch batch) {
  std::erase_if(batch, [](Task& task) {
    Result<void> wanted = task.request.context.Check();
    if (!wanted) task.done(Fail(std::move(wanted).error()));
    return !wanted;
  });
  if (batch.empty()) return;
  size_t rows = 0;
  for (const Task& task : batch) rows += task.rows;
  if (batch.size() == 1 && PaddedRows(rows) == rows) {
    observer_(rows);
    return ComputeAlone(batch.front());
  }
  Result<Tensors> outputs = RunMerged(batch, rows);
  if (!outputs) {
    for (Task& task : batch) ComputeAlone(task);
    return;
  }
  observer_(rows);
  size_t begin = 0;
  for (Task& task : batch) {
    const std::vector<size_t>& wanted = task.request.outputs.empty() ? all_outputs_ : task.request.outputs;
    Tensors own;
    for (size_t index : wanted) {
      own.push_back((*outputs)[index].Rows(static_cast<int64_t>(begin), static_cast<int64_t>(begin + task.rows)));
    }
    begin += task.rows;
    task.done(std::move(own));
  }
}

void Batcher::ComputeAlone(Task& task) {
  task.done(run_(task.request.inputs, task.request.outputs.empty() ? all_outputs_ : task.request.outputs));
}

Result<Tensors> Batcher::RunMerged(const Batch& batch, size_t rows) {
  Tensors inputs;
  for (size_t index = 0; index < batch.front().request.inputs.size(); ++index) {
    std::vector<Tensor> parts;
    for (const Task& task : batch) parts.push_back(task.request.inputs[index]);
    TRY(Tensor merged, Merge(std::move(parts), PaddedRows(rows), parameters_.pad_variable_length_inputs));
    inputs.push_back(std::move(merged));
  }
  TRY(Tensors outputs, run_(inputs, all_outputs_));
  for (const Tensor& output : outputs) {
    if (output.shape().empty() || static_cast<size_t>(output.shape()[0]) != PaddedRows(rows)) {
      return Fail(Internal("An output of the model does not have a row for each row of its inputs."));
    }
  }
  return outputs;
}

size_t Batcher::PaddedRows(size_t rows) const {
  const std::vector<size_t>& allowed = parameters_.allowed_batch_sizes;
  auto found = std::ranges::lower_bound(allowed, rows);
  return rows == 0 || found == allowed.end() ? rows : *found;
}

void Batcher::Split(InferenceRequest request, InferenceCallback done, size_t part_rows) {
  struct Joining {
    std::mutex mutex;
    std::vector<Tensors> parts;
    size_t missing = 0;
    std::optional<Error> failure;
    InferenceCallback done;
  };
  auto joining = std::make_shared<Joining>();
  size_t rows = RowsOf(request);
  size_t count = (rows + part_rows - 1) / part_rows;
  joining->parts.resize(count);
  joining->missing = count;
  joining->done = std::move(done);
  for (size_t part = 0; part < count; ++part) {
    auto begin = static_cast<int64_t>(part * part_rows);
    auto end = static_cast<int64_t>(std::min(rows, (part + 1) * part_rows));
    InferenceRequest piece{request.signature_name, {}, request.outputs, request.context};
    for (const Tensor& input : request.inputs) piece.inputs.push_back(input.Rows(begin, end));
    Run(std::move(piece), [joining, part](Result<Tensors> outputs) {
      std::unique_lock lock(joining->mutex);
      if (outputs) joining->parts[part] = *std::move(outputs);
      if (!outputs && !joining->failure) joining->failure = std::move(outputs).error();
      if (--joining->missing > 0) return;
      lock.unlock();
      if (joining->failure) return joining->done(Fail(*joining->failure));
      Tensors whole;
      for (size_t index = 0; index < joining->parts.front().size(); ++index) {
        std::vector<Tensor> pieces;
        for (const Tensors& tensors : joining->parts) pieces.push_back(tensors[index]);
        Result<Tensor> joined = Concatenate(pieces);
        if (!joined) return joining->done(Fail(std::move(joined).error()));
        whole.push_back(*std::move(joined));
      }
      joining->done(std::move(whole));
    });
  }
}

}  // namespace sagebrush::serving
