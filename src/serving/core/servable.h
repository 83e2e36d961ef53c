#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "io/event_loops.h"
#include "serving/backends/backend.h"

namespace sagebrush::serving {

// What a queued request carries beside its tensors. Both are looked at whenever the request is about to be worked on:
// work that nobody waits for any more is dropped.
struct RequestContext {
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  std::function<bool()> abandoned;  // whether the client has gone; may be empty; called from any thread, cheap
  // The event loop whose thread works on the request, where that may compute quick requests itself; else null.
  io::EventLoop* loop = nullptr;

  // kDeadlineExceeded or kCancelled when there is no use in going on.
  Result<void> Check() const;
};

struct InferenceRequest {
  std::string signature_name = std::string(kDefaultSignature);
  Tensors inputs;               // one for each input of the signature, in the order of the map
  std::vector<size_t> outputs;  // indexes into the signature's outputs; empty: all, in order
  RequestContext context;
};

// Called exactly once, from a thread of the executor or within the call.
using InferenceCallback = std::move_only_function<void(Result<Tensors>)>;

// One version of a model that can be asked. Whoever holds it keeps it loaded: hold it for a request, not longer.
// Thread-safe.
class Servable {
 public:
  virtual ~Servable() = default;
  virtual const std::string& model_name() const = 0;
  virtual int64_t version() const = 0;
  virtual const SignatureMap& signatures() const = 0;

  // Checks the inputs against the signature (kInvalidArgument: type, rank or a fixed size differ) and runs them, alone
  // or in a batch with others. To be called on a thread of the executor or of the context's event loop, which may do
  // the computation; `done` may be called before Run returns or later, and the thread may go on with others' requests:
  // the caller holds the servable until Run has returned, whatever `done` lets go of. kUnavailable at once when the
  // batching queue is full.
  virtual void Run(InferenceRequest request, InferenceCallback done) const = 0;

  // Whether a request takes so little, by the latest runs, that handing it to another thread would cost more than a
  // thread that has others to attend to loses by computing it.
  virtual bool quick() const { return false; }
};

// Whether the thread that received a request of so many bytes should decode and compute it, rather than the executor.
bool ComputedByReceiver(const Servable& servable, size_t request_bytes);

}  // namespace sagebrush::serving
