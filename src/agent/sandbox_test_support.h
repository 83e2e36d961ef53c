#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/text.h"
#include "driver/sandbox/sandbox.h"
#include "driver/sandbox/sandbox_driver.h"
#include "driver/spec_json.h"
#include "io/file.h"
#include "io/subprocess.h"

namespace sagebrush::agent {

// A data directory with a sandbox driver on it; destroys every instance at its end and then expects that nothing of
// them is left on the machine.
class SandboxMachine {
 public:
  SandboxMachine() {
    // Not below a directory that every instance lacks anyway: hiding the engine's data is under test.
    const char* base = ::getenv("SAGEBRUSH_TEST_BASE");
    std::string name = std::string(base != nullptr    ? base
                                   : ::geteuid() == 0 ? "/var/lib"
                                                      : "/var/tmp") +
                       "/sagebrush-test-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    ::chmod(directory_.c_str(), 0755);
    Reopen();
  }
  ~SandboxMachine() {
    if (!driver_) return;
    Result<std::vector<driver::InstanceStatus>> list = driver_->List();
    for (const auto& status : *list) EXPECT_TRUE(driver_->Destroy(status.id).has_value());
    driver_.reset();
    ExpectNothingLeft();
    std::filesystem::remove_all(directory_);
  }

  static std::filesystem::path AgentBinary() {
    const char* moved = ::getenv("SAGEBRUSH_TEST_AGENT");
    return moved != nullptr ? moved : SAGEBRUSH_AGENT_BINARY;
  }

  static std::filesystem::path ModelServerBinary() {
    const char* moved = ::getenv("SAGEBRUSH_TEST_MODEL_SERVER");
    return moved != nullptr ? moved : SAGEBRUSH_MODEL_SERVER_BINARY;
  }

  // The directory of commands for instances.
  static std::filesystem::path Commands() {
    const char* moved = ::getenv("SAGEBRUSH_TEST_COMMANDS");
    return moved != nullptr ? moved : SAGEBRUSH_COMMANDS;
  }

  static std::string Unavailable() {
    for (const driver::Requirement& requirement : driver::ProbeSandboxRequirements(AgentBinary(), "/var/tmp")) {
      if (!requirement.met && requirement.mandatory) return requirement.name + ": " + requirement.detail;
    }
    return "";
  }

  driver::SandboxDriver& driver() { return *driver_; }
  const std::filesystem::path& directory() const { return directory_; }
  driver::InstanceFiles Files(const InstanceId& id) const {
    return driver::InstanceFiles{directory_ / "instances" / id.value()};
  }

  // Agents run with this failpoint set ("" for none) from the next Reopen on.
  void SetAgentFailpoint(const std::string& name) {
    agent_ = AgentBinary();
    if (name.empty()) return;
    agent_ = directory_ / "agent-with-failpoint";
    ASSERT_TRUE(
        io::WriteFile(agent_,
                      "#!/bin/sh\nSAGEBRUSH_FAILPOINT=" + name + " exec " + AgentBinary().native() + " \"$@\"\n", 0755)
            .has_value());
    ::chmod(agent_.c_str(), 0755);
  }

  void Reopen() {
    driver_.reset();
    driver::SandboxDriver::Options options;
    options.instances_directory = directory_ / "instances";
    options.agent_binary = agent_;
    Result<std::unique_ptr<driver::SandboxDriver>> opened = driver::SandboxDriver::Open(options);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    driver_ = std::move(*opened);
  }

  // An instance that runs `script` by /bin/sh.
  driver::InstanceSpec Shell(const std::string& id, const std::string& script) {
    driver::InstanceSpec spec;
    spec.id = InstanceId(id);
    spec.job = JobName(id.substr(0, id.find('.')));
    spec.epoch = Epoch{1};
    spec.instance_type = "ml.m5.large";
    spec.entrypoint = {"/bin/sh", "-c", script};
    spec.stop_grace_ms = 60'000;
    return spec;
  }

  static bool Eventually(const std::function<bool()>& condition) {
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      ::poll(nullptr, 0, 1);  // a state of files and processes gives no notice
    }
    return true;
  }

  driver::InstanceStatus Await(const InstanceId& id) {
    driver::InstanceStatus last;
    EXPECT_TRUE(Eventually([&] {
      Result<driver::InstanceStatus> status = driver_->Inspect(id);
      EXPECT_TRUE(status.has_value()) << status.error().message;
      if (status) last = *status;
      return !status || last.phase == driver::Phase::kEnded || last.phase == driver::Phase::kLost;
    })) << Log(id);
    return last;
  }

  driver::InstanceStatus Run(const driver::InstanceSpec& spec) {
    Result<void> started = driver_->Start(spec);
    EXPECT_TRUE(started.has_value()) << started.error().message;
    return Await(spec.id);
  }

  std::vector<driver::LogRecord> Records(const InstanceId& id) {
    std::vector<driver::LogRecord> records;
    uint64_t offset = 0;
    while (true) {
      Result<driver::LogChunk> chunk = driver_->ReadLog(id, offset, 1 << 20);
      if (!chunk || chunk->records.empty()) return records;
      records.insert(records.end(), chunk->records.begin(), chunk->records.end());
      offset = chunk->next_offset;
    }
  }

  // What the programs printed, without the agent's own lines.
  std::string Log(const InstanceId& id) {
    std::string text;
    for (const driver::LogRecord& record : Records(id)) {
      if (!record.line.starts_with("sagebrush:")) text += record.line + "\n";
    }
    return text;
  }

  bool AwaitLog(const InstanceId& id, const std::string& part) {
    return Eventually([&] { return Log(id).find(part) != std::string::npos; });
  }

  std::optional<driver::ProcessIdentity> Process(const InstanceId& id, size_t which) {  // 0 the agent, 1 its init
    Result<std::string> text = io::ReadFile(Files(id).processes());
    if (!text) return std::nullopt;
    std::vector<std::string_view> lines = Split(*text, '\n');
    return which < lines.size() ? driver::ProcessIdentity::Parse(lines[which]) : std::nullopt;
  }

  // Files for a source archive, packed as the SDK does.
  std::filesystem::path Tar(const std::vector<std::pair<std::string, std::string>>& files) {
    std::filesystem::path source = directory_ / ("source-" + std::to_string(++archives_));
    for (const auto& [name, text] : files) {
      EXPECT_TRUE(io::MakeDirectories((source / name).parent_path()).has_value());
      EXPECT_TRUE(io::WriteFile(source / name, text).has_value());
    }
    std::filesystem::path archive = source.native() + ".tar.gz";
    Result<io::CommandOutcome> packed =
        io::Run({{"tar", "-czf", archive.native(), "-C", source.native(), "."}, {}, "", std::chrono::seconds(60)});
    EXPECT_TRUE(packed && packed->exit_code == 0);
    return archive;
  }

  bool SaysNoLimit(const InstanceId& id, const std::string& controller) {
    for (const driver::LogRecord& record : Records(id)) {
      if (record.line.starts_with("sagebrush: no " + controller + " limit")) return true;
    }
    return false;
  }

  static std::string Shown(const std::vector<std::string>& argv) {
    Result<io::CommandOutcome> outcome = io::Run({argv, {}, "", std::chrono::seconds(60)});
    return outcome ? outcome->output : outcome.error().message;
  }

 private:
  // No mount, process, network holder, control group or file of any instance.
  void ExpectNothingLeft() {
    std::string mine = directory_.native();
    EXPECT_EQ(io::ReadFile("/proc/self/mounts")->find(mine), std::string::npos);
    EXPECT_TRUE(std::filesystem::is_empty(directory_ / "instances"));
    std::filesystem::path switches = directory_ / "switches";
    EXPECT_TRUE(Eventually([&] { return !std::filesystem::exists(switches) || std::filesystem::is_empty(switches); }));
    std::string left;
    EXPECT_TRUE(Eventually([&] {
      left.clear();
      for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        // The command line of a zombie, which some other process has yet to reap, is empty.
        Result<std::string> line = io::ReadFile(entry.path() / "cmdline");
        if (line && line->find(mine) != std::string::npos && line->find("--instance") != std::string::npos)
          left += *line;
      }
      return left.empty();
    })) << left;
    if (std::filesystem::exists("/sys/fs/cgroup")) {
      EXPECT_EQ(Shown({"find", "/sys/fs/cgroup", "-maxdepth", "3", "-path", "*sagebrush/*", "-name",
                       driver::Sandbox::CgroupName(Files(InstanceId("x"))).substr(0, 9) + "*"}),
                "");
    }
  }

  std::filesystem::path directory_;
  std::filesystem::path agent_ = AgentBinary();
  std::unique_ptr<driver::SandboxDriver> driver_;
  int archives_ = 0;
};

class SandboxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string reason = SandboxMachine::Unavailable();
    if (!reason.empty()) GTEST_SKIP() << "this machine cannot run sandboxes: " << reason;
    machine_ = std::make_unique<SandboxMachine>();
  }
  std::unique_ptr<SandboxMachine> machine_;
};

}  // namespace sagebrush::agent
