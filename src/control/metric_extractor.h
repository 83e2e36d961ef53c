#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gen/sagemaker.h"

namespace re2 {
class RE2;
}

namespace sagebrush::control {

struct ExtractedMetric {
  size_t definition = 0;  // its position in MetricDefinitions
  double value = 0;
};

// AlgorithmSpecification.MetricDefinitions, compiled: finds the metrics in a job's log lines. The expressions are
// RE2's, close to Python's without lookaround and back references, and matched in time proportional to the line: none
// can hang the engine. Immutable; thread-safe.
class MetricExtractor {
 public:
  // Code ValidationException, naming the metric, for an expression that is none, that RE2 does not know, or that takes
  // too much memory.
  static Result<MetricExtractor> Compile(const std::vector<gen::sagemaker::MetricDefinition>& definitions);
  MetricExtractor(MetricExtractor&&) noexcept;
  MetricExtractor& operator=(MetricExtractor&&) noexcept;
  ~MetricExtractor();

  // Every match of every definition in the line, each definition's from left to right. The value is the text of the
  // first group, or of the whole match without one; a match whose text is no number (Python's float() form, finite) is
  // passed over.
  std::vector<ExtractedMetric> Extract(std::string_view line) const;

 private:
  MetricExtractor();
  std::vector<std::unique_ptr<re2::RE2>> expressions_;
};

}  // namespace sagebrush::control
