#include "domain/instance_type.h"

#include <array>
#include <optional>
#include <utility>

#include "base/text.h"

namespace sagebrush::domain {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

// Sizes are powers of two of "large" = 2 vCPUs, but for the odd multiples that are written out.
std::optional<double> Vcpus(std::string_view size) {
  if (size == "medium") return 2;  // burstable: two virtual CPUs of which a share is sustained
  if (size == "large") return 2;
  if (size == "xlarge") return 4;
  if (!size.ends_with("xlarge")) return std::nullopt;
  std::optional<int64_t> multiple = ParseInt(size.substr(0, size.size() - 6));
  if (!multiple || *multiple == 0) return std::nullopt;
  return static_cast<double>(*multiple) * 4;
}

int Gpus(std::string_view family, std::string_view size, double vcpus) {
  if (family[0] != 'p' && family[0] != 'g') return 0;
  static constexpr std::array<std::pair<std::string_view, int>, 10> kByName = {{{"p2.xlarge", 1},
                                                                                {"p2.8xlarge", 8},
                                                                                {"p2.16xlarge", 16},
                                                                                {"p3.2xlarge", 1},
                                                                                {"p3.8xlarge", 4},
                                                                                {"p3.16xlarge", 8},
                                                                                {"p3dn.24xlarge", 8},
                                                                                {"g4dn.12xlarge", 4},
                                                                                {"g5.12xlarge", 4},
                                                                                {"g5.24xlarge", 4}}};
  std::string full = std::string(family) + "." + std::string(size);
  for (const auto& [name, gpus] : kByName) {
    if (name == full) return gpus;
  }
  if (family[0] == 'p') return 8;
  return vcpus >= 192 ? 8 : vcpus >= 48 ? 4 : 1;
}

int64_t GiBPerVcpu(char family) {
  switch (family) {
    case 'c':
      return 2;
    case 'r':
      return 8;
    case 'p':
      return 8;
    default:
      return 4;
  }
}

}  // namespace

Result<InstanceType> ParseInstanceType(std::string_view name) {
  std::vector<std::string_view> parts = Split(name, '.');
  std::optional<double> vcpus = parts.size() == 3 ? Vcpus(parts[2]) : std::nullopt;
  if (parts.size() != 3 || parts[0] != "ml" || parts[1].empty() || !vcpus) {
    return Fail(InvalidArgument("'" + std::string(name) +
                                "' is no instance type that Sagebrush knows; use one such as "
                                "ml.m5.large"));
  }
  if (parts[1].starts_with("trn") || parts[1].starts_with("inf")) {
    return Fail(InvalidArgument("instance type '" + std::string(name) +
                                "' stands for AWS's own accelerators, which this machine has not; use one such as "
                                "ml.m5.xlarge"));
  }
  InstanceType type{std::string(name), *vcpus, 0, Gpus(parts[1], parts[2], *vcpus)};
  type.memory_bytes = static_cast<int64_t>(*vcpus) * GiBPerVcpu(parts[1][0]) * kGiB;
  if (parts[2] == "medium") type.memory_bytes = 4 * kGiB;
  return type;
}

Result<InstanceType> ParseCpuInstanceType(std::string_view name) {
  TRY(InstanceType type, ParseInstanceType(name));
  if (type.gpus == 0) return type;
  return Fail(InvalidArgument(type.name + " stands for " + std::to_string(type.gpus) +
                              " GPU(s), and Sagebrush runs on CPUs. Use a CPU type such as ml.m5.xlarge."));
}

}  // namespace sagebrush::domain
