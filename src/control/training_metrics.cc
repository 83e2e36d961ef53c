#include "control/training_metrics.h"

#include "base/log.h"
#include "control/instance_groups.h"
#include "control/log_pump.h"
#include "domain/instance_type.h"

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;

constexpr char kSpace[] = "/aws/sagemaker/TrainingJobs";
constexpr int64_t kGib = int64_t{1} << 30;

metricstore::Metric MetricOf(const std::string& job, const std::string& name) {
  return {kSpace, name, {{"TrainingJobName", job}}};
}

MeasuredInstance MeasuredInstanceOf(const sm::CreateTrainingJobRequest& request, int rank) {
  MeasuredInstance measured;
  measured.space = kSpace;
  measured.dimensions = {{"Host", request.TrainingJobName + "/algo-" + std::to_string(rank + 1)}};
  auto type = domain::ParseInstanceType(GroupOfRank(InstanceGroupsOf(request), rank).type);
  if (type) measured.memory_bytes = type->memory_bytes;
  measured.disk_bytes = request.ResourceConfig->VolumeSizeInGB.value_or(0) * kGib;
  return measured;
}

}  // namespace

void TrainingMetrics::Watch(const InstanceId& id, int rank, const std::string& stream,
                            const TrainingJobRecord& record) {
  instances_.Watch(id, MeasuredInstanceOf(record.request, rank), !record.state.start_intended);
  if (record.request.AlgorithmSpecification->MetricDefinitions.empty()) return;
  std::lock_guard lock(mutex_);
  std::shared_ptr<const Wanted> wanted = WantedOf(record.request);
  if (wanted != nullptr) targets_[id] = std::make_shared<Target>(Target{stream, std::move(wanted)});
}

std::shared_ptr<const TrainingMetrics::Wanted> TrainingMetrics::WantedOf(const sm::CreateTrainingJobRequest& request) {
  std::weak_ptr<const Wanted>& known = wanted_[request.TrainingJobName];
  if (std::shared_ptr<const Wanted> wanted = known.lock()) return wanted;
  const auto& definitions = request.AlgorithmSpecification->MetricDefinitions;
  Result<MetricExtractor> extractor = MetricExtractor::Compile(definitions);
  if (!extractor) {  // only of a job that was created before expressions were checked
    Log(LogLevel::kWarning, "metric_definitions_unusable",
        {{"job", request.TrainingJobName}, {"error", extractor.error().message}});
    return nullptr;
  }
  std::vector<metricstore::Metric> metrics;
  metrics.reserve(definitions.size());
  for (const sm::MetricDefinition& definition : definitions) {
    metrics.push_back(MetricOf(request.TrainingJobName, definition.Name));
  }
  auto wanted = std::make_shared<const Wanted>(Wanted{std::move(metrics), *std::move(extractor)});
  known = wanted;
  return wanted;
}

void TrainingMetrics::Forget(const InstanceId& id) {
  instances_.Forget(id);
  std::lock_guard lock(mutex_);
  targets_.erase(id);
  std::erase_if(wanted_, [](const auto& entry) { return entry.second.expired(); });
}

Result<void> TrainingMetrics::CatchUp(const InstanceId& id, uint64_t stored) {
  std::shared_ptr<Target> target;
  {
    std::lock_guard lock(mutex_);
    auto found = targets_.find(id);
    if (found == targets_.end()) return {};
    target = found->second;
  }
  if (target->looked && target->stored == stored) return {};
  TRYV(Read(*target));
  target->looked = true;
  target->stored = stored;
  return {};
}

Result<void> TrainingMetrics::Read(const Target& target) {
  TRY(int64_t position, store_.IngestedPosition(target.stream));
  while (true) {
    logstore::GetRequest get;
    get.group = kTrainingJobLogGroup;
    get.stream = target.stream;
    get.from_head = true;
    get.forward_from = position;
    Result<logstore::Page> page = logs_.Get(get);
    if (!page && page.error().kind == ErrorKind::kNotFound) return {};  // it has printed nothing yet
    if (!page) return Fail(std::move(page).error());
    if (page->events.empty()) return {};
    std::vector<metricstore::Datum> data;
    for (const logstore::LogEvent& event : page->events) {
      for (const ExtractedMetric& found : target.wanted->extractor.Extract(event.message)) {
        metricstore::Datum& datum = data.emplace_back();
        datum.metric = target.wanted->metrics[found.definition];
        datum.timestamp_ms = event.timestamp_ms;
        datum.high_resolution = true;
        datum.values.Add(found.value);
      }
    }
    TRY(position, store_.Ingest(target.stream, position, page->next, std::move(data)));
  }
}

Result<std::vector<sm::MetricData>> TrainingMetrics::LastValues(const sm::CreateTrainingJobRequest& request) {
  std::vector<sm::MetricData> list;
  const auto& definitions = request.AlgorithmSpecification->MetricDefinitions;
  if (definitions.empty()) return list;
  std::vector<metricstore::Metric> metrics;
  metrics.reserve(definitions.size());
  for (const sm::MetricDefinition& definition : definitions) {
    metrics.push_back(MetricOf(request.TrainingJobName, definition.Name));
  }
  TRY(auto values, store_.LastIngested(metrics));
  for (size_t i = 0; i < definitions.size(); ++i) {
    if (!values[i]) continue;
    sm::MetricData& shown = list.emplace_back();
    shown.MetricName = definitions[i].Name;
    shown.Value = values[i]->value;
    shown.Timestamp = wire::Timestamp{values[i]->timestamp_ms};
  }
  return list;
}

}  // namespace sagebrush::control
