#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "control/instance_metrics.h"
#include "control/metric_extractor.h"
#include "control/training_job_table.h"
#include "logstore/log_store.h"
#include "metricstore/metric_store.h"

namespace sagebrush::control {

// The metrics of training jobs, in namespace /aws/sagemaker/TrainingJobs: what their MetricDefinitions find in their
// stored log lines (dimension TrainingJobName, by the second, at the line's time), and what their instances use
// (dimension Host, "<job>/algo-<n>").
//
// Each line is counted once, whatever crashes: lines never change their position in a stream, and the metric store
// commits what a stretch of them gave together with the position that it reaches to. Thread-safe; calls for one
// instance come one at a time (LogPump sees to that).
class TrainingMetrics {
 public:
  TrainingMetrics(metricstore::MetricStore& store, logstore::LogStore& logs, InstanceMetrics& instances)
      : store_(store), logs_(logs), instances_(instances) {}

  // Names the stream that the instance's lines go to. As LogPump::Watch.
  void Watch(const InstanceId& id, int rank, const std::string& stream, const TrainingJobRecord& record);
  void Forget(const InstanceId& id);
  // All lines of the instance's stream are accounted for when this returns. `stored` is what the stream records of its
  // source: the same as at the last call means that there is nothing new. Blocks.
  Result<void> CatchUp(const InstanceId& id, uint64_t stored);

  // FinalMetricDataList: the last value of each metric that has one, in the order of the definitions. Blocks.
  Result<std::vector<gen::sagemaker::MetricData>> LastValues(const gen::sagemaker::CreateTrainingJobRequest& request);

 private:
  // What a job looks for in its lines; shared by its instances.
  struct Wanted {
    std::vector<metricstore::Metric> metrics;  // by definition
    MetricExtractor extractor;
  };
  struct Target {
    std::string stream;
    std::shared_ptr<const Wanted> wanted;
    bool looked = false;  // by this engine
    uint64_t stored = 0;  // at the last look
  };
  std::shared_ptr<const Wanted> WantedOf(const gen::sagemaker::CreateTrainingJobRequest& request);
  Result<void> Read(const Target& target);

  metricstore::MetricStore& store_;
  logstore::LogStore& logs_;
  InstanceMetrics& instances_;
  std::mutex mutex_;
  std::map<InstanceId, std::shared_ptr<Target>> targets_;      // guarded by mutex_
  std::map<std::string, std::weak_ptr<const Wanted>> wanted_;  // by job; guarded by mutex_
};

}  // namespace sagebrush::control
