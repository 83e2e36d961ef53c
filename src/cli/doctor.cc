#include "cli/doctor.h"

#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/text.h"
#include "cli/format.h"
#include "cli/locations.h"
#include "io/file.h"
#include "io/subprocess.h"

namespace sagebrush::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kReleaseMs = 1'735'689'600'000;  // 2025-01-01: a clock before it is wrong

std::optional<std::string> OutputOf(std::vector<std::string> argv) {
  auto outcome = io::Run(
      {.argv = std::move(argv), .environment = {}, .working_directory = "", .deadline = std::chrono::seconds(20)});
  if (!outcome || outcome->exit_code != 0) return std::nullopt;
  std::string output = std::move(outcome->output);
  output.erase(output.find_last_not_of(" \n\r\t") + 1);
  return output;
}

// The directory, or the nearest one above it that exists.
fs::path Existing(fs::path path) {
  std::error_code ignored;
  while (!fs::exists(path, ignored) && path.has_parent_path() && path != path.root_path()) path = path.parent_path();
  return path;
}

Requirement CheckDataDirectory(const fs::path& data_dir) {
  Requirement result{.name = "data directory", .met = true, .detail = data_dir.string()};
  fs::path existing = Existing(data_dir);
  if (access(existing.c_str(), W_OK | X_OK) != 0) {
    result.met = false;
    result.detail = fmt::format("{} is not writable for you", existing.string());
    result.remedy = "run as its owner, or choose another one with --data-dir or SAGEBRUSH_HOME";
  } else if (existing != data_dir) {
    result.detail += " (made at first start)";
  }
  return result;
}

Requirement CheckUv(const fs::path& uv) {
  Requirement result{.name = "uv", .detail = "no uv in the data directory or on PATH"};
  if (!uv.empty()) {
    auto version = OutputOf({uv.string(), "--version"});
    result.met = version.has_value();
    result.detail =
        version ? fmt::format("{} at {}", *version, uv.string()) : fmt::format("{} does not run", uv.string());
  }
  if (!result.met)
    result.remedy = "python3 -m venv ~/.venv-uv && ~/.venv-uv/bin/pip install uv, then set `uv`, or run ./quickstart";
  return result;
}

Requirement CheckPython() {
  std::string found;
  for (int minor = 14; minor >= 9; --minor) {
    fs::path python = FindOnPath(fmt::format("python3.{}", minor));
    if (python.empty()) continue;
    auto version = OutputOf({python.string(), "-c", "import platform; print(platform.python_version())"});
    if (version) found += (found.empty() ? "" : ", ") + *version + " (" + python.string() + ")";
  }
  bool met = !found.empty();
  return {.name = "Python",
          .met = met,
          .detail = met ? found : "no python3.9 or later on PATH",
          .remedy = met ? "" : "sudo apt-get install python3 python3-venv"};
}

Requirement CheckMpi() {
  fs::path mpirun = FindOnPath("mpirun");
  auto version = mpirun.empty() ? std::nullopt : OutputOf({mpirun.string(), "--version"});
  bool met = version && version->find("Open MPI") != std::string::npos;
  return {
      .name = "MPI",
      .met = met,
      .mandatory = false,
      .detail = met ? version->substr(0, version->find('\n')) : "no mpirun of OpenMPI: jobs with MPI or Horovod fail",
      .remedy = met ? "" : "sudo apt-get install openmpi-bin libopenmpi-dev"};
}

Requirement CheckPort(const Configuration& configuration) {
  const ServeOptions& options = configuration.options;
  if (auto engine = FindEngine(options.data_dir)) {
    return {.name = "engine",
            .met = true,
            .mandatory = false,
            .detail = fmt::format("runs at {} (process {})", engine->endpoint, engine->pid)};
  }
  auto [host, port] = HostAndPort(options.listen);
  if (port != "0" && Listens(host, port)) {
    return {
        .name = "port",
        .met = false,
        .detail = fmt::format("another program listens on {}", options.listen),
        .remedy = fmt::format("end it (`ss -ltnp 'sport = :{}'` names it), or serve with --listen {}:0", port, host)};
  }
  return {.name = "port",
          .met = true,
          .detail = fmt::format("{} is free; no engine runs on this data directory", options.listen)};
}

Requirement CheckCertificates(const fs::path& data_dir) {
  Requirement result{.name = "certificate authority", .met = true, .detail = "made at first start"};
  std::error_code ignored;
  fs::path file = data_dir / "ca/ca.pem";
  if (!fs::exists(file, ignored)) return result;
  std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new_file(file.c_str(), "r"), &BIO_free);
  std::unique_ptr<X509, decltype(&X509_free)> certificate(
      bio ? PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr) : nullptr, &X509_free);
  bool valid = certificate && X509_cmp_current_time(X509_get0_notAfter(certificate.get())) > 0 &&
               X509_cmp_current_time(X509_get0_notBefore(certificate.get())) < 0;
  bool bundle = fs::exists(data_dir / "ca/bundle.pem", ignored);
  result.met = valid && bundle;
  result.detail = result.met     ? file.string()
                  : !certificate ? fmt::format("{} cannot be read", file.string())
                  : !valid       ? fmt::format("{} is not valid now (expired, or the clock is wrong)", file.string())
                                 : fmt::format("{} is missing", (data_dir / "ca/bundle.pem").string());
  if (!result.met) {
    result.remedy = fmt::format("stop the engine, rm -r {}, start it again: it makes new ones",
                                ShellQuote((data_dir / "ca").string()));
  }
  return result;
}

Requirement CheckSystemCertificates() {
  std::error_code ignored;
  bool found = fs::exists("/etc/ssl/certs/ca-certificates.crt", ignored);
  return {.name = "system certificates",
          .met = found,
          .mandatory = false,
          .detail = found ? "/etc/ssl/certs/ca-certificates.crt"
                          : "missing: programs behind `sagebrush env` cannot verify other hosts",
          .remedy = found ? "" : "sudo apt-get install ca-certificates"};
}

Requirement CheckClock() {
  int64_t now = WallClockMs();
  bool met = now >= kReleaseMs;
  return {.name = "clock",
          .met = met,
          .detail = FormatIso8601(now),
          .remedy = met ? "" : "sudo timedatectl set-ntp true (signatures and certificates need the right time)"};
}

}  // namespace

std::vector<Requirement> CheckMachine(const Configuration& configuration) {
  const ServeOptions& options = configuration.options;
  return {CheckDataDirectory(options.data_dir),
          CheckUv(FindUv(options.uv, options.data_dir)),
          CheckPython(),
          CheckMpi(),
          CheckPort(configuration),
          CheckCertificates(options.data_dir),
          CheckSystemCertificates(),
          CheckClock()};
}

int ReportRequirements(Terminal& terminal, const std::vector<Requirement>& requirements, bool json) {
  bool missing = std::ranges::any_of(requirements, [](const Requirement& r) { return r.mandatory && !r.met; });
  if (json) {
    boost::json::array array;
    for (const Requirement& requirement : requirements) {
      array.push_back({{"name", requirement.name},
                       {"met", requirement.met},
                       {"mandatory", requirement.mandatory},
                       {"detail", requirement.detail},
                       {"remedy", requirement.remedy}});
    }
    terminal.Out(boost::json::serialize(array) + "\n");
    return missing ? kFailed : kOk;
  }
  bool colour = terminal.traits().colour;
  size_t width = 0;
  for (const Requirement& requirement : requirements) width = std::max(width, DisplayWidth(requirement.name));
  for (const Requirement& requirement : requirements) {
    std::string_view mark = requirement.met ? "✓" : requirement.mandatory ? "✗" : "!";
    std::string_view paint = requirement.met ? "\033[32m" : requirement.mandatory ? "\033[31m" : "\033[33m";
    std::string padding(width - DisplayWidth(requirement.name), ' ');
    terminal.Out(fmt::format("{}{}{} {}{}  {}\n", colour ? paint : "", mark, colour ? "\033[0m" : "", requirement.name,
                             padding, requirement.detail));
    if (!requirement.met && !requirement.remedy.empty()) {
      terminal.Out(fmt::format("{}to mend: {}\n", std::string(width + 4, ' '), requirement.remedy));
    }
  }
  terminal.Out(missing ? "\nSomething that jobs need is missing (✗).\n" : "\nThis machine can run jobs.\n");
  return missing ? kFailed : kOk;
}

}  // namespace sagebrush::cli
