#include "control/log_pump.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <future>

namespace sagebrush::control {
namespace {

using driver::InstanceStatus;

Error Unused() { return Internal("not of this test"); }

// Instances that have always just printed another line, until they are told to end.
class EndlessDriver final : public driver::Driver {
 public:
  Result<driver::LogChunk> ReadLog(const InstanceId& id, uint64_t offset, size_t) override {
    driver::LogChunk chunk{.next_offset = offset};
    std::lock_guard lock(mutex_);
    ++reads_[id];
    read_.notify_all();
    if (ended_) return chunk;
    chunk.records.push_back({.timestamp_ms = 1, .line = "again"});
    chunk.next_offset = offset + chunk.records.back().line.size() + 1;
    return chunk;
  }
  // Until so many instances have been read so often.
  bool AwaitReads(size_t instances, int times) {
    std::unique_lock lock(mutex_);
    return read_.wait_for(lock, std::chrono::seconds(30), [&] {
      return static_cast<size_t>(std::ranges::count_if(
                 reads_, [times](const auto& entry) { return entry.second >= times; })) >= instances;
    });
  }
  void End() {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }

  std::vector<driver::Requirement> Fingerprint() override { return {}; }
  Result<void> Start(const driver::InstanceSpec&) override { return Fail(Unused()); }
  Result<std::vector<InstanceStatus>> List() override { return Fail(Unused()); }
  Result<InstanceStatus> Inspect(const InstanceId&) override { return Fail(Unused()); }
  Result<void> Stop(const InstanceId&, const driver::StopRequest&) override { return Fail(Unused()); }
  Result<void> Release(const InstanceId&, Epoch) override { return Fail(Unused()); }
  Result<void> Destroy(const InstanceId&) override { return Fail(Unused()); }
  Result<io::UniqueFd> Connect(const InstanceId&, uint16_t) override { return Fail(Unused()); }
  void SetListener(driver::Listener) override {}
  std::filesystem::path StagingDirectory(const InstanceId&) const override { return {}; }
  Result<driver::InstanceUsage> Usage(const InstanceId&) override { return Fail(Unused()); }

 private:
  std::mutex mutex_;
  std::condition_variable read_;
  std::map<InstanceId, int> reads_;
  bool ended_ = false;
};

class LogPumpTest : public testing::Test {
 protected:
  LogPumpTest() {
    char pattern[] = "/tmp/sagebrush-pump-XXXXXX";
    directory_ = ::mkdtemp(pattern);
    logs_ = *logstore::LogStore::Open(directory_, clock_);
    pump_.emplace(driver_, *logs_);
  }
  ~LogPumpTest() override {
    driver_.End();
    pump_.reset();
    logs_.reset();
    std::filesystem::remove_all(directory_);
  }
  void Print(int instances) {
    for (int i = 0; i < instances; ++i) pump_->Watch(InstanceId(std::to_string(i)), "stream-" + std::to_string(i));
    pump_->Start();
    for (int i = 0; i < instances; ++i) pump_->Wake(InstanceId(std::to_string(i)));
  }

  SystemClock clock_;
  std::filesystem::path directory_;
  EndlessDriver driver_;
  std::unique_ptr<logstore::LogStore> logs_;
  std::optional<LogPump> pump_;
};

TEST_F(LogPumpTest, StopsAlthoughAProgramPrintsFasterThanItsLinesAreStored) {
  Print(1);
  ASSERT_TRUE(driver_.AwaitReads(1, 20));
  auto stopped = std::async(std::launch::async, [this] { pump_->Stop(); });
  EXPECT_EQ(stopped.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  driver_.End();
}

TEST_F(LogPumpTest, ManySuchProgramsTakeTurns) {
  Print(5);
  EXPECT_TRUE(driver_.AwaitReads(5, 20));
}

TEST_F(LogPumpTest, TellsTheLastLinesThatAreStored) {
  InstanceId id("0");
  EXPECT_TRUE(pump_->LastLines(id, 3).empty());
  Print(1);
  ASSERT_TRUE(driver_.AwaitReads(1, 20));
  driver_.End();
  ASSERT_TRUE(pump_->Drain(id));
  EXPECT_EQ(pump_->LastLines(id, 3), std::vector<std::string>(3, "again"));
}

}  // namespace
}  // namespace sagebrush::control
