// bench-bare-loop TENSORFLOW MODEL_VERSION ROWS THREADS SECONDS INTRA INTER ONEDNN
// Runs the model's serving_default signature on random rows as fast as it goes, with nothing around it, and prints
// JSON:
// {"runs", "seconds", "cpu_ms_per_run", "p50_us", "p99_us"}.

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>

#include "serving/backends/tensorflow/tensorflow_backend.h"

namespace {

using namespace sagebrush::serving;
using Clock = std::chrono::steady_clock;

double CpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Tensors RandomInputs(const Signature& signature, int64_t rows) {
  Tensors inputs;
  std::mt19937 random(3);
  for (const auto& [alias, info] : signature.inputs) {
    Shape shape = *info.shape;
    shape[0] = rows;
    Tensor tensor = Tensor::Numeric(info.type, shape);
    for (float& value : tensor.mutable_values<float>()) value = std::uniform_real_distribution<float>()(random);
    inputs.push_back(tensor);
  }
  return inputs;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 9) {
    std::fprintf(stderr, "usage: %s TENSORFLOW MODEL_VERSION ROWS THREADS SECONDS INTRA INTER ONEDNN\n", argv[0]);
    return 2;
  }
  TensorFlowOptions options{.library_directory = argv[1],
                            .intra_op_threads = std::atoi(argv[6]),
                            .inter_op_threads = std::atoi(argv[7]),
                            .onednn = std::atoi(argv[8]) != 0};
  auto backend = MakeTensorFlowBackend(options);
  auto session = backend ? (*backend)->Load(argv[2]) : sagebrush::Fail(backend.error());
  if (!session) {
    std::fprintf(stderr, "%s\n", session.error().message.c_str());
    return 1;
  }
  const Signature& signature = (*session)->signatures().at(std::string(kDefaultSignature));
  Tensors inputs = RandomInputs(signature, std::atoi(argv[3]));
  const size_t outputs[] = {0};
  auto run = [&] { return (*session)->Run(kDefaultSignature, inputs, outputs).has_value(); };
  for (int warm = 0; warm < 20; ++warm) {
    if (!run()) return 1;
  }
  auto until = Clock::now() + std::chrono::duration<double>(std::atof(argv[5]));
  std::vector<std::vector<double>> latencies(static_cast<size_t>(std::atoi(argv[4])));
  double cpu = CpuSeconds();
  auto begin = Clock::now();
  {
    std::vector<std::jthread> threads;
    for (auto& own : latencies) {
      threads.emplace_back([&] {
        while (Clock::now() < until) {
          auto started = Clock::now();
          if (!run()) return;
          own.push_back(std::chrono::duration<double, std::micro>(Clock::now() - started).count());
        }
      });
    }
  }
  double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  cpu = CpuSeconds() - cpu;
  std::vector<double> all;
  for (const auto& own : latencies) all.insert(all.end(), own.begin(), own.end());
  std::ranges::sort(all);
  if (all.empty()) return 1;
  std::printf("{\"runs\": %zu, \"seconds\": %.4f, \"cpu_ms_per_run\": %.5f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
              all.size(), seconds, cpu * 1000 / static_cast<double>(all.size()), all[all.size() / 2],
              all[all.size() * 99 / 100]);
  return 0;
}
