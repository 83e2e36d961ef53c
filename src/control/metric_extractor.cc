#include "control/metric_extractor.h"

#include <re2/re2.h>

#include <charconv>
#include <cmath>
#include <optional>

namespace sagebrush::control {
namespace {

namespace sm = gen::sagemaker;

constexpr int64_t kMostMemoryBytes = 1 << 20;  // of one expression: its program and what matching needs

std::optional<double> ParseNumber(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\f\v";
  size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return std::nullopt;
  text = text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  // The store, as CloudWatch, takes numbers up to 2^360.
  if (error != std::errc() || end != text.data() + text.size() || !(std::fabs(value) <= std::ldexp(1.0, 360))) {
    return std::nullopt;
  }
  return value;
}

Error Refused(const sm::MetricDefinition& definition, const std::string& why) {
  return InvalidArgument("AlgorithmSpecification.MetricDefinitions metric '" + definition.Name + "': Regex '" +
                             definition.Regex + "' cannot be used: " + why +
                             ". Sagebrush matches with RE2, which knows neither lookaround ('(?=', '(?<=', '(?!') nor "
                             "back references.",
                         "ValidationException");
}

}  // namespace

MetricExtractor::MetricExtractor() = default;
MetricExtractor::MetricExtractor(MetricExtractor&&) noexcept = default;
MetricExtractor& MetricExtractor::operator=(MetricExtractor&&) noexcept = default;
MetricExtractor::~MetricExtractor() = default;

Result<MetricExtractor> MetricExtractor::Compile(const std::vector<sm::MetricDefinition>& definitions) {
  MetricExtractor extractor;
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMostMemoryBytes);
  for (const sm::MetricDefinition& definition : definitions) {
    auto expression = std::make_unique<re2::RE2>(definition.Regex, options);
    if (!expression->ok()) return Fail(Refused(definition, expression->error()));
    extractor.expressions_.push_back(std::move(expression));
  }
  return extractor;
}

std::vector<ExtractedMetric> MetricExtractor::Extract(std::string_view line) const {
  std::vector<ExtractedMetric> found;
  re2::StringPiece text(line.data(), line.size());
  for (size_t i = 0; i < expressions_.size(); ++i) {
    const re2::RE2& expression = *expressions_[i];
    bool grouped = expression.NumberOfCapturingGroups() > 0;
    re2::StringPiece groups[2];
    for (size_t at = 0; at <= line.size();) {
      if (!expression.Match(text, at, line.size(), re2::RE2::UNANCHORED, groups, grouped ? 2 : 1)) break;
      const re2::StringPiece& group = groups[grouped ? 1 : 0];
      std::optional<double> value;
      if (group.data() != nullptr) value = ParseNumber({group.data(), group.size()});
      if (value) found.push_back({i, *value});
      size_t end = static_cast<size_t>(groups[0].data() - line.data()) + groups[0].size();
      at = groups[0].empty() ? end + 1 : end;
    }
  }
  return found;
}

}  // namespace sagebrush::control
