#include "control/checkpoint_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

namespace sagebrush::control {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

class CheckpointTree : public testing::Test {
 protected:
  CheckpointTree() {
    char pattern[] = "/tmp/sagebrush-checkpoints-XXXXXX";
    root_ = ::mkdtemp(pattern);
    directory_ = root_ / "tree";
    fs::create_directories(directory_);
  }
  ~CheckpointTree() override { fs::remove_all(root_); }
  std::vector<std::string> Listed() {
    std::vector<std::string> paths;
    for (const auto& [path, version] : *ListCheckpointFiles(directory_)) paths.push_back(path);
    return paths;
  }
  fs::path root_, directory_;
};

TEST_F(CheckpointTree, ListsRegularFilesAndNothingThatALinkLeadsTo) {
  fs::create_directories(directory_ / "a/b");
  ASSERT_TRUE(io::WriteFile(directory_ / "a/b/ckpt", "12345"));
  ASSERT_TRUE(io::WriteFile(root_ / "secret", "secret"));
  fs::create_symlink(root_ / "secret", directory_ / "link");
  fs::create_symlink(root_, directory_ / "up");
  ASSERT_EQ(::mkfifo((directory_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(Listed(), ElementsAre("a/b/ckpt"));
  EXPECT_EQ(ListCheckpointFiles(directory_)->at("a/b/ckpt").size, 5u);
  EXPECT_EQ(ListCheckpointFiles(root_ / "absent").error().kind, ErrorKind::kNotFound);
}

TEST_F(CheckpointTree, OpensOnlyTheVersionThatWasListed) {
  ASSERT_TRUE(io::WriteFile(directory_ / "ckpt", "one"));
  FileVersion first = ListCheckpointFiles(directory_)->at("ckpt");
  EXPECT_TRUE(OpenCheckpointFile(directory_, "ckpt", first));
  ASSERT_TRUE(io::WriteFile(directory_ / "ckpt", "two"));
  EXPECT_EQ(OpenCheckpointFile(directory_, "ckpt", first).error().kind, ErrorKind::kNotFound);
  // Replaced by a link to another file, or its directory by one to another directory.
  fs::create_directories(directory_ / "d");
  ASSERT_TRUE(io::WriteFile(directory_ / "d/file", "mine"));
  FileVersion mine = ListCheckpointFiles(directory_)->at("d/file");
  fs::rename(directory_ / "d", root_ / "moved");
  fs::create_symlink(root_ / "moved", directory_ / "d");
  EXPECT_EQ(OpenCheckpointFile(directory_, "d/file", mine).error().kind, ErrorKind::kNotFound);
  EXPECT_FALSE(OpenCheckpointFile(directory_, "../moved/file", mine));
}

TEST_F(CheckpointTree, DoesNotFollowDirectoriesWithoutEnd) {
  fs::path deep = directory_;
  for (int i = 0; i <= kDeepestCheckpoint + 1; ++i) deep /= "d";
  fs::create_directories(deep);
  Result<FileVersions> listed = ListCheckpointFiles(directory_);
  ASSERT_FALSE(listed);
  EXPECT_THAT(listed.error().message, testing::HasSubstr("nested"));
}

TEST(CheckpointRecord, SurvivesJson) {
  CheckpointRecord record{{"a/\"ü\"", {{1, uint64_t{1} << 40, -5}, "etag-2"}}, {"b", {}}};
  EXPECT_EQ(*CheckpointRecordFromJson(ToJson(record)), record);
  EXPECT_EQ(CheckpointRecordFromJson("{\"a\":1}").error().kind, ErrorKind::kDataLoss);
}

TEST(PlanCheckpoints, StoresWhatIsQuietOldestFirst) {
  FileVersions files{{"checkpoint", {1, 10, 300}}, {"ckpt-1.data", {2, 10, 100}}, {"writing", {3, 10, 900}}};
  EXPECT_THAT(PlanCheckpoints(files, {}, 500).uploads, ElementsAre("ckpt-1.data", "checkpoint"));
}

TEST(PlanCheckpoints, KeepsTheLastWholeCheckpointUntilTheNextOneIs) {
  CheckpointRecord record{{"ckpt-1", {{1, 10, 100}, "one"}}};
  FileVersions files{{"ckpt-2", {2, 10, 900}}};
  EXPECT_TRUE(PlanCheckpoints(files, record, 500).removals.empty());
  EXPECT_THAT(PlanCheckpoints(files, record, 1000).removals, ElementsAre("ckpt-1"));
}

RC_GTEST_PROP(PlanCheckpointsProperty, ComesToRestWithTheStoreLikeTheDirectory, ()) {
  FileVersions files;
  CheckpointRecord record;
  std::set<std::string> ever;
  int64_t now = 0;
  auto events = *rc::gen::container<std::vector<std::pair<int, int>>>(
      rc::gen::pair(rc::gen::inRange(0, 4), rc::gen::inRange(0, 6)));
  auto look = [&](int64_t quiet_before) {
    CheckpointSteps steps = PlanCheckpoints(files, record, quiet_before);
    for (const std::string& path : steps.uploads) {
      RC_ASSERT(files.at(path).changed_ns <= quiet_before);
      record[path] = {files.at(path), "etag"};
    }
    for (const std::string& path : steps.removals) {
      RC_ASSERT(!files.contains(path));
      record.erase(path);
    }
    return steps.uploads.size() + steps.removals.size();
  };
  for (const auto& [what, which] : events) {
    std::string path = "f" + std::to_string(which);
    now += 3;
    if (what == 0) files.erase(path);
    if (what == 1 || what == 2) files[path] = {static_cast<uint64_t>(which), static_cast<uint64_t>(now), now};
    if (what == 3) look(now - 5);
  }
  look(now);
  RC_ASSERT(look(now) == 0u);
  RC_ASSERT(files.size() == record.size());
  for (const auto& [path, version] : files) RC_ASSERT(record.at(path).version == version);
}

}  // namespace
}  // namespace sagebrush::control
