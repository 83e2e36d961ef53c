#include "routing/router.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace sagebrush::routing {

Router::Choice::Choice(std::string variant, int instances, std::shared_ptr<Load> load)
    : variant_(std::move(variant)), instances_(instances), load_(std::move(load)) {
  load_->outstanding.fetch_add(1, std::memory_order_relaxed);
}

Router::Choice::~Choice() {
  if (load_ != nullptr) load_->outstanding.fetch_sub(1, std::memory_order_relaxed);
}

void Router::Choice::Answered() const { load_->answered_ms.store(MonotonicMs(), std::memory_order_relaxed); }

std::shared_ptr<Router::Load> Router::LoadOf(const InstanceId& id) {
  std::shared_ptr<Load> load = loads_[id].lock();
  if (load == nullptr) loads_[id] = load = std::make_shared<Load>(id);
  return load;
}

void Router::Set(const std::string& endpoint, const std::vector<Variant>& variants) {
  std::lock_guard lock(mutex_);
  std::vector<Row>& before = endpoints_[endpoint];
  // Where the shares are the same, each variant goes on from its place in the order, so that being told anew, and
  // often, does not favour the first ones.
  bool same = std::ranges::equal(before, variants, [](const Row& row, const Variant& variant) {
    return row.name == variant.name && row.weight == variant.weight;
  });
  std::vector<Row> rows;
  for (const Variant& variant : variants) {
    Row row{.name = variant.name, .weight = variant.weight, .instances = {}};
    if (same) {
      row.credit = before[rows.size()].credit;
      row.next = before[rows.size()].next;
    }
    for (const InstanceId& id : variant.instances) row.instances.push_back(LoadOf(id));
    rows.push_back(std::move(row));
  }
  before = std::move(rows);  // drops the loads of instances that are gone and idle
  std::erase_if(loads_, [](const auto& entry) { return entry.second.expired(); });
}

void Router::Remove(const std::string& endpoint) {
  std::lock_guard lock(mutex_);
  endpoints_.erase(endpoint);
}

// Smooth weighted round robin: exact over any stretch of requests, and never the same variant many times in a row.
// Variants without an instance are left out; those of weight 0 get nothing.
Router::Row* Router::ByWeight(std::vector<Row>& rows) {
  Row* best = nullptr;
  double total = 0;
  for (Row& row : rows) {
    if (row.instances.empty() || row.weight <= 0) continue;
    row.credit += row.weight;
    total += row.weight;
    if (best == nullptr || row.credit > best->credit) best = &row;
  }
  if (best != nullptr) best->credit -= total;
  return best;
}

Result<Router::Choice> Router::Choose(const std::string& endpoint, const std::optional<std::string>& variant,
                                      const std::vector<InstanceId>& avoid) {
  std::lock_guard lock(mutex_);
  auto found = endpoints_.find(endpoint);
  if (found == endpoints_.end()) return Fail(NotFound("Endpoint " + endpoint + " is not in service."));
  std::vector<Row>& rows = found->second;
  Row* row = nullptr;
  if (variant) {
    auto named = std::ranges::find(rows, *variant, &Row::name);
    if (named == rows.end()) {
      return Fail(InvalidArgument("Endpoint " + endpoint + " has no variant '" + *variant + "'."));
    }
    row = &*named;
  } else {
    row = ByWeight(rows);
  }
  if (row == nullptr || row->instances.empty()) {
    return Fail(Error(ErrorKind::kUnavailable,
                      "No instance of endpoint " + endpoint +
                          " can take a request now: all are being replaced, or every variant has weight 0."));
  }
  size_t count = row->instances.size(), begin = row->next++ % count;
  auto cost = [&avoid](const Load& load) {
    return std::pair(std::ranges::find(avoid, load.id) != avoid.end(), load.outstanding.load());
  };
  const std::shared_ptr<Load>* best = nullptr;
  for (size_t step = 0; step < count; ++step) {
    const std::shared_ptr<Load>& load = row->instances[(begin + step) % count];
    if (best == nullptr || cost(*load) < cost(**best)) best = &load;
  }
  return Choice(row->name, static_cast<int>(count), *best);
}

int Router::outstanding(const InstanceId& instance) const {
  std::lock_guard lock(mutex_);
  auto found = loads_.find(instance);
  std::shared_ptr<Load> load = found == loads_.end() ? nullptr : found->second.lock();
  return load == nullptr ? 0 : load->outstanding.load();
}

int64_t Router::answered_ms(const InstanceId& instance) const {
  std::lock_guard lock(mutex_);
  auto found = loads_.find(instance);
  std::shared_ptr<Load> load = found == loads_.end() ? nullptr : found->second.lock();
  return load == nullptr ? 0 : load->answered_ms.load();
}

}  // namespace sagebrush::routing
