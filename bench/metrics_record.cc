// What metrics cost the engine: recording invocations of endpoints from several threads, writing them down, and reading
// them back. Prints one JSON object. Usage: metrics_record THREADS INVOCATIONS
#include <unistd.h>

#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "base/check.h"
#include "base/text.h"
#include "metricstore/endpoint_meter.h"

namespace sagebrush::metricstore {
namespace {

constexpr int kVariants = 100;
constexpr int kDayMinutes = 24 * 60;

// Seconds that the call takes.
template <class Call>
double Timed(const Call& call) {
  auto begin = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Invocation Nth(int64_t n) { return {.model_us = 1'000 + n % 5'000, .overhead_us = 100 + n % 50}; }

double RecordSeconds(Recorder& recorder, int64_t threads, int64_t invocations) {
  EndpointMeter meter(recorder, "busy", "AllTraffic");
  std::vector<std::thread> running;
  return Timed([&] {
    for (int64_t i = 0; i < threads; ++i) {
      running.emplace_back([&] {
        for (int64_t n = 0; n < invocations; ++n) meter.Invoked(Nth(n));
      });
    }
    for (std::thread& thread : running) thread.join();
  });
}

double FlushSeconds(Recorder& recorder) {
  std::vector<std::unique_ptr<EndpointMeter>> meters;
  for (int i = 0; i < kVariants; ++i) {
    meters.push_back(std::make_unique<EndpointMeter>(recorder, "endpoint-" + std::to_string(i), "AllTraffic"));
    for (int64_t n = 0; n < 1'000; ++n) meters.back()->Invoked(Nth(n));
  }
  return Timed([&] { CHECK(recorder.Flush().has_value()); });
}

// A day of one metric by the minute, with percentiles.
double QuerySeconds(MetricStore& store, int64_t now_ms) {
  Metric metric{"space", "latency", {{"name", "value"}}};
  std::vector<Datum> data;
  for (int minute = 0; minute < kDayMinutes; ++minute) {
    Datum& datum = data.emplace_back(Datum{metric, kNoUnit, now_ms - minute * int64_t{60'000}, false, {}});
    for (int64_t n = 0; n < 50; ++n) datum.values.Add(static_cast<double>(Nth(n * 37 + minute).model_us));
  }
  CHECK(store.Put(std::move(data)).has_value());
  int64_t start_ms = (now_ms - kDayMinutes * int64_t{60'000}) / 60'000 * 60'000;
  return Timed([&] { CHECK(store.Range({metric, {}, start_ms, now_ms, 60'000, true})->size() >= kDayMinutes - 1); });
}

void Run(const std::filesystem::path& directory, int64_t threads, int64_t invocations) {
  SystemClock clock;
  auto store = MetricStore::Open(directory, clock);
  CHECK(store.has_value());
  Recorder recorder(**store, clock);
  double recorded = RecordSeconds(recorder, threads, invocations);
  CHECK(recorder.Flush().has_value());
  double flushed = FlushSeconds(recorder), queried = QuerySeconds(**store, clock.NowMs());
  boost::json::object report{{"invocations_per_second", static_cast<double>(threads * invocations) / recorded},
                             {"flush_seconds", flushed},
                             {"query_seconds", queried}};
  std::puts(boost::json::serialize(report).c_str());
}

}  // namespace
}  // namespace sagebrush::metricstore

int main(int argc, char** argv) {
  std::optional<int64_t> threads = argc == 3 ? sagebrush::ParseInt(argv[1]) : std::nullopt;
  std::optional<int64_t> invocations = argc == 3 ? sagebrush::ParseInt(argv[2]) : std::nullopt;
  if (!threads || !invocations || *threads < 1 || *threads > 64 || *invocations < 1) {
    std::fputs("usage: metrics_record THREADS INVOCATIONS, with 1 to 64 threads\n", stderr);
    return 2;
  }
  char pattern[] = "/tmp/sagebrush-metrics-XXXXXX";
  CHECK(::mkdtemp(pattern) != nullptr);
  sagebrush::metricstore::Run(pattern, *threads, *invocations);
  std::filesystem::remove_all(pattern);
  return 0;
}
