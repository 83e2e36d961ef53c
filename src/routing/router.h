#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace sagebrush::routing {

// Which instance answers a request. The reconciler of endpoints says which ones are there; invocations choose among
// them: a variant by weight, then its instance with the fewest requests under way. Thread-safe; nothing blocks.
class Router {
 public:
  struct Variant {
    std::string name;
    double weight = 1;
    std::vector<InstanceId> instances;  // that answer pings
    bool operator==(const Variant&) const = default;
  };

 private:
  struct Load {
    explicit Load(InstanceId of) : id(std::move(of)) {}
    const InstanceId id;
    std::atomic<int> outstanding = 0;
    std::atomic<int64_t> answered_ms = 0;
  };

 public:
  // A request's place at an instance, from the choice until it is destroyed.
  class Choice {
   public:
    Choice(std::string variant, int instances, std::shared_ptr<Load> load);
    ~Choice();
    Choice(Choice&&) noexcept = default;
    Choice& operator=(Choice&&) = delete;
    const std::string& variant() const { return variant_; }
    const InstanceId& instance() const { return load_->id; }
    int instances() const { return instances_; }  // of the variant, when it was chosen
    // The instance has answered, whatever it said.
    void Answered() const;

   private:
    std::string variant_;
    int instances_;
    std::shared_ptr<Load> load_;  // null after a move
  };

  // The endpoint's variants from now on. An instance that stays keeps its count, and variants of the same weights keep
  // their turns: saying the same again changes nothing.
  void Set(const std::string& endpoint, const std::vector<Variant>& variants);
  void Remove(const std::string& endpoint);

  // kNotFound for an endpoint that is not in service; kInvalidArgument for a variant that it does not have;
  // kUnavailable when no instance is there. Instances to `avoid` are chosen when there are no others.
  Result<Choice> Choose(const std::string& endpoint, const std::optional<std::string>& variant = std::nullopt,
                        const std::vector<InstanceId>& avoid = {});

  // Requests under way to an instance, also to one that Set has taken away.
  int outstanding(const InstanceId& instance) const;
  // When it last answered a request, by the monotonic clock; 0: never, or long gone.
  int64_t answered_ms(const InstanceId& instance) const;

 private:
  struct Row {
    std::string name;
    double weight = 1;
    double credit = 0;  // of the smooth weighted choice
    std::vector<std::shared_ptr<Load>> instances;
    size_t next = 0;  // where to begin to look, so that equals take turns
  };
  std::shared_ptr<Load> LoadOf(const InstanceId& id);
  static Row* ByWeight(std::vector<Row>& rows);

  mutable std::mutex mutex_;
  std::map<std::string, std::vector<Row>, std::less<>> endpoints_;  // guarded by mutex_
  std::map<InstanceId, std::weak_ptr<Load>> loads_;                 // guarded by mutex_
};

}  // namespace sagebrush::routing
