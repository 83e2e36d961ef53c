#include "serving/tuning/measure.h"

#include <algorithm>
#include <atomic>
#include <boost/json.hpp>

#include "serving/core/executor.h"
#include "serving/tuning/sample.h"

namespace sagebrush::serving {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr auto kEach = std::chrono::milliseconds(400);  // for one row, and for many
constexpr int kWindows = 4;                             // of kEach
constexpr int kWarmRuns = 10;                           // at most; fewer where they take longer than kEach
constexpr std::string_view kLineStart = "measured: ";

double MillisSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

Result<void> RunOnce(const Session& session, const Sample& sample, const Tensors& inputs) {
  TRY(Tensors outputs, session.Run(sample.signature_name, inputs, sample.outputs));
  return {};
}

// The median of runs of one row, one after the other, once the first ones have passed.
Result<double> LatencyMs(const Session& session, const Sample& sample) {
  Clock::time_point warm_until = Clock::now() + kEach;
  for (int run = 0; run == 0 || (run < kWarmRuns && Clock::now() < warm_until); ++run) {
    TRYV(RunOnce(session, sample, sample.one));
  }
  std::vector<double> times;
  Clock::time_point until = Clock::now() + kEach;
  while (times.empty() || Clock::now() < until) {
    Clock::time_point begin = Clock::now();
    TRYV(RunOnce(session, sample, sample.one));
    times.push_back(MillisSince(begin));
  }
  std::ranges::nth_element(times, times.begin() + static_cast<ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

// Of runs of many rows, `callers` at a time, for a while or one run each.
Result<double> RowsPerSecondOnce(const Session& session, const Sample& sample, int callers) {
  std::atomic<int64_t> runs = 0;
  std::atomic<bool> failed = false;
  Clock::time_point begin = Clock::now();
  {
    Executor threads(callers, static_cast<size_t>(callers));
    for (int caller = 0; caller < callers; ++caller) {
      Executor::Work work = [&] {
        do {
          if (!RunOnce(session, sample, sample.many)) failed = true;
          ++runs;
        } while (!failed && Clock::now() < begin + kEach / kWindows);
      };
      (void)threads.TrySubmit(work);  // its queue has room for them all
    }
  }
  if (failed) TRYV(RunOnce(session, sample, sample.many));  // for its error
  return static_cast<double>(runs * sample.many_rows) * 1000 / MillisSince(begin);
}

// The best of some windows, for whatever else the machine does makes it only slower.
Result<double> RowsPerSecond(const Session& session, const Sample& sample, int callers) {
  double best = 0;
  Clock::time_point until = Clock::now() + kEach;
  while (best == 0 || Clock::now() < until) {
    TRY(double once, RowsPerSecondOnce(session, sample, callers));
    best = std::max(best, once);
  }
  return best;
}

}  // namespace

Result<Measurement> Measure(const MeasureOptions& options) {
  TRY(std::unique_ptr<Backend> backend, MakeTensorFlowBackend(options.tensorflow));
  Measurement measurement;
  for (const MeasuredModel& model : options.models) {
    TRY(std::unique_ptr<Session> session, backend->Load(model.version_directory));
    Result<Sample> sample = MakeSample(model.version_directory, session->signatures());
    if (!sample) {
      measurement.skipped.emplace_back(model.name, sample.error().message);
      continue;
    }
    TRY(double latency_ms, LatencyMs(*session, *sample));
    TRY(double rows_per_second, RowsPerSecond(*session, *sample, options.cores));
    measurement.speeds.push_back({model.name, latency_ms, rows_per_second});
  }
  return measurement;
}

std::string ToLine(const Measurement& measurement) {
  json::array speeds, skipped;
  for (const ModelSpeed& speed : measurement.speeds) {
    speeds.push_back(json::value{
        {"model", speed.model}, {"latency_ms", speed.latency_ms}, {"rows_per_second", speed.rows_per_second}});
  }
  for (const auto& [model, reason] : measurement.skipped) skipped.push_back({{"model", model}, {"reason", reason}});
  return std::string(kLineStart) + json::serialize(json::value{{"speeds", speeds}, {"skipped", skipped}}) + "\n";
}

std::optional<Measurement> FromOutput(std::string_view output) {
  size_t start = output.rfind(kLineStart);
  if (start == std::string_view::npos) return std::nullopt;
  std::string_view line = output.substr(start + kLineStart.size());
  boost::system::error_code failure;
  json::value value = json::parse(line.substr(0, line.find('\n')), failure);
  if (failure) return std::nullopt;
  Measurement measurement;
  for (const json::value& speed : value.at("speeds").as_array()) {
    measurement.speeds.push_back({json::value_to<std::string>(speed.at("model")),
                                  speed.at("latency_ms").to_number<double>(),
                                  speed.at("rows_per_second").to_number<double>()});
  }
  for (const json::value& model : value.at("skipped").as_array()) {
    measurement.skipped.emplace_back(json::value_to<std::string>(model.at("model")),
                                     json::value_to<std::string>(model.at("reason")));
  }
  return measurement;
}

}  // namespace sagebrush::serving
