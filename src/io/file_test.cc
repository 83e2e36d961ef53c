#include "io/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/random.h"

namespace sagebrush::io {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  FileTest() : directory_(fs::temp_directory_path() / ("file-test-" + RandomHex(8))) {
    fs::create_directory(directory_);
  }
  ~FileTest() override { fs::remove_all(directory_); }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_)) names.push_back(entry.path().filename());
    return names;
  }
  static mode_t ModeOf(const fs::path& path) {
    struct stat info{};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    return info.st_mode & 0777;
  }

  fs::path directory_;
};

TEST_F(FileTest, WritesAreWholeAndLeaveNoTemporaryFile) {
  fs::path path = directory_ / "state";
  std::string large(3 << 20, 'x');
  ASSERT_TRUE(WriteFileDurably(path, "first"));
  EXPECT_EQ(ModeOf(path), 0600u);
  ASSERT_TRUE(WriteFileDurably(path, large));
  EXPECT_EQ(ReadFile(path), large);
  ASSERT_TRUE(WriteFile(path, ""));
  EXPECT_EQ(ReadFile(path), "");
  EXPECT_THAT(Names(), testing::ElementsAre("state"));
}

TEST_F(FileTest, ReplacingKeepsAnOpenReadersContent) {
  fs::path path = directory_ / "state";
  ASSERT_TRUE(WriteFile(path, "old"));
  auto reader = Open(path, O_RDONLY);
  ASSERT_TRUE(reader);
  ASSERT_TRUE(WriteFileDurably(path, "new"));
  EXPECT_EQ(ReadAt(reader->get(), 0, 10), "old");
  EXPECT_EQ(ReadFile(path), "new");
}

TEST_F(FileTest, AFailedReplacementLeavesTheOldContentAndNoTemporaryFile) {
  // A directory in the file's place: the rename fails after everything else has worked.
  fs::create_directories(directory_ / "state" / "inside");
  auto written = WriteFileDurably(directory_ / "state", "x");
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, testing::HasSubstr("state"));
  EXPECT_THAT(Names(), testing::ElementsAre("state"));
  EXPECT_EQ(WriteFileDurably(directory_ / "absent" / "f", "x").error().kind, ErrorKind::kNotFound);
}

TEST_F(FileTest, ReadsAtAnOffsetAndStopsAtTheEnd) {
  fs::path path = directory_ / "f";
  ASSERT_TRUE(WriteFile(path, "0123456789"));
  auto fd = Open(path, O_RDONLY);
  ASSERT_TRUE(fd);
  EXPECT_EQ(ReadAt(fd->get(), 3, 4), "3456");
  EXPECT_EQ(ReadAt(fd->get(), 8, 100), "89");
  EXPECT_EQ(ReadAt(fd->get(), 10, 5), "");
  EXPECT_FALSE(ReadAt(-1, 0, 1));
  EXPECT_EQ(ReadFile(directory_ / "absent").error().kind, ErrorKind::kNotFound);
  EXPECT_FALSE(ReadFile(directory_));
}

TEST_F(FileTest, DescriptorsCloseOnExecAndMove) {
  auto opened = Open(directory_ / "f", O_RDWR | O_CREAT);
  ASSERT_TRUE(opened);
  EXPECT_NE(::fcntl(opened->get(), F_GETFD) & FD_CLOEXEC, 0);
  UniqueFd moved = *std::move(opened);
  int raw = moved.get();
  UniqueFd again;
  again = std::move(moved);
  EXPECT_FALSE(moved);  // NOLINT(bugprone-use-after-move): what a moved-from UniqueFd is, is the point
  EXPECT_TRUE(WriteAll(again.get(), "data"));
  again.Reset();
  EXPECT_EQ(::fcntl(raw, F_GETFD), -1);
  EXPECT_FALSE(WriteAll(raw, "data"));
}

TEST_F(FileTest, DirectoriesAreMadeAndRemovedWithAllThatIsInThem) {
  fs::path deep = directory_ / "a" / "b" / "c";
  ASSERT_TRUE(MakeDirectories(deep, 0700));
  ASSERT_TRUE(MakeDirectories(deep, 0700));
  EXPECT_EQ(ModeOf(directory_ / "a"), 0700u);
  ASSERT_TRUE(WriteFile(deep / "f", "x"));
  EXPECT_FALSE(MakeDirectories(deep / "f" / "under-a-file"));
  fs::create_symlink("/", deep / "root");
  ASSERT_TRUE(RemoveTree(directory_ / "a"));
  EXPECT_FALSE(fs::exists(directory_ / "a"));
  EXPECT_TRUE(fs::exists("/etc"));  // the link went, not what it names
  EXPECT_TRUE(RemoveTree(directory_ / "a"));
  EXPECT_TRUE(SyncDirectory(directory_));
  EXPECT_FALSE(SyncDirectory(directory_ / "a"));
}

}  // namespace
}  // namespace sagebrush::io
