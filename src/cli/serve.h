#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace sagebrush::cli {

// Everything `sagebrush serve` can be told, complete and within bounds (cli/config.h reads and checks it).
struct ServeOptions {
  std::filesystem::path data_dir;
  std::string listen = "127.0.0.1:8770";  // IPv4 or [IPv6] address and port; port 0: any free one
  std::string region = "us-west-2";
  std::string account = "000000000000";
  std::filesystem::path images_file;        // empty: the catalogue built in
  std::filesystem::path images_cache;       // where environments are kept; empty: <data_dir>/images
  std::filesystem::path wheels;             // prebuilt ones; empty: none
  int64_t capacity_vcpus = 0;               // instances' CPUs that run at once; 0: four for each of the machine's
  int64_t gang_wait_seconds = 900;          // how long ready instances of a job wait for its others
  std::filesystem::path agent;              // empty: sagebrush-agent beside this program
  std::filesystem::path uv;                 // empty: looked up, see FindUv in cli/locations.h
  int64_t endpoint_start_seconds = 7200;    // the most that an endpoint's instance may take to its first answered ping
  int64_t invocation_timeout_seconds = 60;  // until an endpoint's instance begins to answer
  int64_t max_invocation_bytes = 6 * 1024 * 1024;  // of an invocation's body
  std::filesystem::path model_server;              // empty: sagebrush-model-server beside this program
  // How long values of metrics are kept by the second (hours), by the minute, five minutes and hour (days).
  int64_t metrics_seconds_hours = 3;
  int64_t metrics_minutes_days = 15;
  int64_t metrics_five_minutes_days = 63;
  int64_t metrics_hours_days = 455;
  int64_t io_threads = 2;
  int64_t blocking_threads = 16;
  std::string log_level = "info";  // debug, info, warning, error
};

// Runs the engine until SIGTERM or SIGINT; returns the process's exit code.
int RunServe(const ServeOptions& options);

}  // namespace sagebrush::cli
