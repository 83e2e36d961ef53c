#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <set>

#include "objstore/store_test_util.h"

#ifdef SAGEBRUSH_FAILPOINTS

namespace sagebrush::objstore {
namespace {

namespace fs = std::filesystem;

const std::string kOld(100'000, 'o'), kNew(100'000, 'n');

// What the child does until it is killed. Each step is acknowledged by a line in `progress`.
void RunSteps(const fs::path& directory) {
  ManualClock clock(1'700'000'000'000);
  auto opened = ObjectStore::Open(directory / "objects", BlobOwner{::geteuid(), ::getegid()}, clock);
  if (!opened) ::_exit(2);
  ObjectStore& store = **opened;
  auto acknowledge = [&directory](bool done, std::string_view step) {
    if (!done) ::_exit(3);
    std::ofstream(directory / "progress", std::ios::app) << step << std::endl;
  };
  acknowledge(store.CreateBucket("bucket").has_value(), "bucket");
  acknowledge(PutString(store, "bucket", "k", kOld).has_value(), "old");
  acknowledge(PutString(store, "bucket", "k", kNew).has_value(), "new");
  acknowledge(io::WriteFile(directory / "file", kOld).has_value(), "written");
  acknowledge(store.PutFile("bucket", "moved", directory / "file", {}).has_value(), "moved");
  auto upload = store.CreateMultipart("bucket", "multi", {});
  std::string first(5 << 20, '1');
  auto one = PutPartString(store, "bucket", "multi", *upload, 1, first);
  auto two = PutPartString(store, "bucket", "multi", *upload, 2, "2");
  acknowledge(
      store.CompleteMultipart("bucket", "multi", *upload, {{1, one->etag, ""}, {2, two->etag, ""}}, {}).has_value(),
      "multi");
  acknowledge(store.DeleteMany("bucket", {"k", "moved"}).has_value(), "deleted");
  ::_exit(0);
}

// The status that the child ended with; `failpoint` as in SAGEBRUSH_FAILPOINT.
int RunChild(const fs::path& directory, const std::string& failpoint, const std::string& log) {
  pid_t pid = ::fork();
  if (pid == 0) {
    // A program of its own: the failpoints read their environment once per process.
    ::setenv("SAGEBRUSH_FAILPOINT", failpoint.c_str(), 1);
    ::setenv("SAGEBRUSH_FAILPOINT_LOG", log.c_str(), 1);
    ::setenv("OBJSTORE_CRASH_DIRECTORY", directory.c_str(), 1);
    ::execl("/proc/self/exe", "objstore_test", "--gtest_filter=CrashChild.DISABLED_Steps",
            "--gtest_also_run_disabled_tests", "--gtest_brief=1", nullptr);
    ::_exit(127);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return status;
}

TEST(CrashChild, DISABLED_Steps) {  // disabled: not a test, the child of CrashTest
  const char* directory = ::getenv("OBJSTORE_CRASH_DIRECTORY");
  ASSERT_NE(directory, nullptr) << "runs only as the child of CrashTest";
  RunSteps(directory);
}

// After a kill at any passage of any failpoint: what was acknowledged is there, what was not is there whole or not at
// all, and a reopened store has exactly the files that its index names.
TEST(CrashTest, AKillAtAnyPointLosesNothingAcknowledged) {
  StoreDirectory scratch;
  std::string log = (scratch.path() / "failpoints").string();
  fs::create_directory(scratch.path() / "dry");
  ASSERT_EQ(RunChild(scratch.path() / "dry", "none", log), 0);
  std::map<std::string, int> passages;
  std::ifstream passed(log);
  for (std::string name; std::getline(passed, name);) {
    if (name.starts_with("objstore.")) ++passages[name];
  }
  ASSERT_GE(passages.size(), 7u);
  int run = 0;
  for (const auto& [name, count] : passages) {
    for (int passage = 1; passage <= count; ++passage) {
      std::string failpoint = name + "@" + std::to_string(passage);
      SCOPED_TRACE(failpoint);
      fs::path directory = scratch.path() / ("run" + std::to_string(++run));
      fs::create_directory(directory);
      int status = RunChild(directory, failpoint, "/dev/null");
      ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
      std::set<std::string> done;
      std::ifstream progress(directory / "progress");
      for (std::string step; std::getline(progress, step);) done.insert(step);

      ManualClock clock(0);
      auto opened = ObjectStore::Open(directory / "objects", BlobOwner{::geteuid(), ::getegid()}, clock);
      ASSERT_TRUE(opened.has_value()) << opened.error().message;
      ObjectStore& store = **opened;
      auto k = GetString(store, "bucket", "k"), moved = GetString(store, "bucket", "moved");
      auto multi = GetString(store, "bucket", "multi");
      if (k) EXPECT_TRUE(*k == kNew || (*k == kOld && !done.contains("new")));
      if (done.contains("old") && !done.contains("multi")) EXPECT_TRUE(k.has_value());
      if (done.contains("deleted")) EXPECT_FALSE(k.has_value() || moved.has_value());
      if (moved) EXPECT_EQ(*moved, kOld);
      if (done.contains("moved") && !done.contains("multi")) EXPECT_TRUE(moved.has_value());
      if (done.contains("written") && !moved && !done.contains("multi")) {
        EXPECT_EQ(*io::ReadFile(directory / "file"), kOld) << "the file to move is lost";
      }
      if (done.contains("multi")) EXPECT_TRUE(multi.has_value());
      if (multi) EXPECT_EQ(multi->size(), (5u << 20) + 1);
      size_t named = k.has_value() + moved.has_value() + multi.has_value();
      auto uploads = store.ListMultipart("bucket");
      if (uploads && !uploads->empty()) {
        for (const PartInfo& part : *store.ListParts("bucket", "multi", uploads->at(0).upload_id)) {
          named += part.size > ObjectStore::kInlineBytes;
        }
      }
      size_t files = 0;
      for (const auto& entry : fs::recursive_directory_iterator(directory / "objects/blobs")) {
        files += entry.is_regular_file();
      }
      EXPECT_EQ(files, named);
    }
  }
}

}  // namespace
}  // namespace sagebrush::objstore

#endif
