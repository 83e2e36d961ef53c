#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "agent/artifacts.h"
#include "agent/log_writer.h"
#include "agent/source_archive.h"
#include "driver/log_spool.h"
#include "io/file.h"

namespace sagebrush::agent {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class ArchivesTest : public ::testing::Test {
 protected:
  struct Member {
    std::string name, content;
    int type = AE_IFREG;
    std::string link;
    int mode = 0644;
  };

  ArchivesTest() {
    char name[] = "/tmp/sagebrush-archives-XXXXXX";
    directory_ = ::mkdtemp(name);
    fs::create_directory(directory_ / "code");
  }
  ~ArchivesTest() override { fs::remove_all(directory_); }

  Result<void> Extract(const std::vector<Member>& members) {
    fs::path file = directory_ / "source.tar.gz";
    archive* writer = archive_write_new();
    archive_write_add_filter_gzip(writer);
    archive_write_set_format_gnutar(writer);
    archive_write_open_filename(writer, file.c_str());
    for (const Member& member : members) {
      archive_entry* entry = archive_entry_new();
      archive_entry_set_pathname(entry, member.name.c_str());
      archive_entry_set_filetype(entry, static_cast<unsigned>(member.type));
      archive_entry_set_perm(entry, static_cast<mode_t>(member.mode));
      if (member.type == AE_IFLNK) archive_entry_set_symlink(entry, member.link.c_str());
      if (member.type == AE_IFREG && !member.link.empty()) archive_entry_set_hardlink(entry, member.link.c_str());
      archive_entry_set_size(entry, static_cast<la_int64_t>(member.content.size()));
      archive_write_header(writer, entry);
      archive_write_data(writer, member.content.data(), member.content.size());
      archive_entry_free(entry);
    }
    archive_write_close(writer);
    archive_write_free(writer);
    io::UniqueFd fd = std::move(*io::Open(file, O_RDONLY));
    return ExtractArchive(fd.get(), directory_ / "code", "The source archive");
  }

  void ExpectRefused(const std::vector<Member>& members, const std::string& named) {
    Result<void> result = Extract(members);
    ASSERT_FALSE(result.has_value()) << named;
    EXPECT_THAT(result.error().message, HasSubstr(named));
    EXPECT_EQ(result.error().kind, ErrorKind::kInvalidArgument);
  }

  fs::path directory_;
};

TEST_F(ArchivesTest, AnOrdinaryTreeIsUnpacked) {
  ASSERT_TRUE(Extract({{"./", "", AE_IFDIR, "", 0755},
                       {"./train.py", "print(1)"},
                       {"./lib/a.py", "x"},
                       {"lib/link.py", "", AE_IFLNK, "a.py"},
                       {"up.py", "", AE_IFLNK, "lib/../train.py"},
                       {"run.sh", "#!/bin/sh", AE_IFREG, "", 04755},
                       {"hard.py", "", AE_IFREG, "train.py"}})
                  .has_value());
  EXPECT_EQ(*io::ReadFile(directory_ / "code/train.py"), "print(1)");
  EXPECT_EQ(*io::ReadFile(directory_ / "code/lib/link.py"), "x");
  EXPECT_EQ(*io::ReadFile(directory_ / "code/hard.py"), "print(1)");
  struct stat status{};
  ASSERT_EQ(::stat((directory_ / "code/run.sh").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0755u) << "no set-user-id";
}

TEST_F(ArchivesTest, AttacksAreRefusedByName) {
  ExpectRefused({{"/etc/cron.d/x", "evil"}}, "/etc/cron.d/x");
  ExpectRefused({{"../outside.py", "evil"}}, "../outside.py");
  ExpectRefused({{"a/../../outside.py", "evil"}}, "a/../../outside.py");
  ExpectRefused({{"escape", "", AE_IFLNK, "/etc"}}, "escape");
  ExpectRefused({{"escape", "", AE_IFLNK, "../.."}}, "escape");
  ExpectRefused({{"dir", "", AE_IFLNK, "."}, {"dir/x", "evil"}}, "dir/x");
  ExpectRefused({{"hard", "", AE_IFREG, "../../etc/passwd"}}, "../../etc/passwd");
  EXPECT_FALSE(fs::exists(directory_ / "outside.py"));
}

TEST_F(ArchivesTest, DevicesAndPipesAreSkipped) {
  ASSERT_TRUE(Extract({{"pipe", "", AE_IFIFO}, {"train.py", "x"}}).has_value());
  EXPECT_FALSE(fs::exists(fs::symlink_status(directory_ / "code/pipe")));
  EXPECT_TRUE(fs::exists(directory_ / "code/train.py"));
}

TEST_F(ArchivesTest, GarbageIsRefused) {
  for (std::string garbage :
       {std::string("not a tar"), std::string("\x1f\x8b\x08\x00garbage"), std::string(5000, 'x')}) {
    ASSERT_TRUE(io::WriteFile(directory_ / "bad", garbage).has_value());
    io::UniqueFd fd = std::move(*io::Open(directory_ / "bad", O_RDONLY));
    EXPECT_FALSE(ExtractArchive(fd.get(), directory_ / "code", "The source archive").has_value())
        << garbage.substr(0, 10);
  }
}

TEST_F(ArchivesTest, WhatIsPackedComesBackTheSame) {
  fs::path model = directory_ / "model";
  fs::create_directories(model / "1/variables");
  std::string big(1 << 20, '\0');
  for (size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 2654435761u >> 13);
  ASSERT_TRUE(io::WriteFile(model / "1/saved_model.pb", big).has_value());
  ASSERT_TRUE(io::WriteFile(model / "1/variables/empty", "").has_value());
  fs::create_symlink("/etc/passwd", model / "leak");
  ASSERT_EQ(::mkfifo((model / "pipe").c_str(), 0600), 0);
  {
    io::UniqueFd out = std::move(*io::Open(directory_ / "source.tar.gz", O_WRONLY | O_CREAT | O_TRUNC));
    ASSERT_TRUE(PackDirectory(model, out.get()).has_value());
  }
  fs::remove(model / "leak");
  io::UniqueFd in = std::move(*io::Open(directory_ / "source.tar.gz", O_RDONLY));
  Result<void> refused = ExtractArchive(in.get(), directory_ / "code", "The source archive");
  ASSERT_FALSE(refused.has_value()) << "the link is in the archive as a link, and as such leads outside";
  EXPECT_THAT(refused.error().message, HasSubstr("\"leak\""));
  EXPECT_EQ(*io::ReadFile(directory_ / "code/1/saved_model.pb"), big);
  EXPECT_FALSE(fs::exists(directory_ / "code/pipe"));
}

TEST_F(ArchivesTest, UncompressedModelsAreCopied) {
  fs::path model = directory_ / "model", out = directory_ / "out";
  fs::create_directories(model / "sub");
  fs::create_directories(out);
  ASSERT_TRUE(io::WriteFile(model / "sub/weights", "w").has_value());
  io::UniqueFd fd = std::move(*io::Open(out, O_RDONLY | O_DIRECTORY));
  ASSERT_TRUE(CopyDirectory(model, fd.get()).has_value());
  EXPECT_EQ(*io::ReadFile(out / "sub/weights"), "w");
}

TEST_F(ArchivesTest, TheRootMustBeARealDirectory) {
  fs::create_directory_symlink("/etc", directory_ / "model");
  EXPECT_EQ(HasContent(directory_ / "model").error().kind, ErrorKind::kInvalidArgument);
  EXPECT_EQ(HasContent(directory_ / "absent").error().kind, ErrorKind::kNotFound);
  EXPECT_FALSE(*HasContent(directory_ / "code"));
}

class LogWriterTest : public ArchivesTest {
 protected:
  LogWriter Writer() {
    return LogWriter(std::move(*io::Open(directory_ / "log", O_RDWR | O_CREAT | O_APPEND)), [this] { ++hints_; });
  }
  std::vector<std::string> Lines() {
    std::vector<std::string> lines;
    Result<driver::LogChunk> chunk = driver::ReadLogSpool(directory_ / "log", 0, 16 << 20);
    EXPECT_TRUE(chunk.has_value());
    for (auto& record : chunk->records) lines.push_back(record.line);
    return lines;
  }
  int hints_ = 0;
};

TEST_F(LogWriterTest, LinesArriveAtOnceAndPiecesAreJoined) {
  LogWriter writer = Writer();
  ASSERT_TRUE(writer.Feed("one\ntw").has_value());
  EXPECT_EQ(Lines(), std::vector<std::string>{"one"});
  EXPECT_EQ(hints_, 1);
  EXPECT_NE(writer.flush_at_ms(), 0);
  ASSERT_TRUE(writer.Feed("o\r\n\n").has_value());
  EXPECT_EQ(writer.flush_at_ms(), 0);
  ASSERT_TRUE(writer.Feed("rest").has_value());
  ASSERT_TRUE(writer.Flush().has_value());
  EXPECT_EQ(Lines(), (std::vector<std::string>{"one", "two", "", "rest"}));
}

TEST_F(LogWriterTest, AnythingBecomesValidText) {
  LogWriter writer = Writer();
  ASSERT_TRUE(writer.Feed(std::string("a\0b\xff\xc3\xa4\n", 7)).has_value());
  EXPECT_EQ(Lines(), std::vector<std::string>{"a\uFFFDb\uFFFD\u00e4"});
}

TEST_F(LogWriterTest, EndlessLinesAreCutBetweenCharacters) {
  LogWriter writer = Writer();
  std::string line;
  while (line.size() < 600'000) line += "x\u20ac";
  ASSERT_TRUE(writer.Feed(line + "\n").has_value());
  std::string joined;
  for (const std::string& piece : Lines()) {
    EXPECT_LE(piece.size(), driver::kMaxLogLineBytes);
    joined += piece;
  }
  EXPECT_EQ(joined, line);
}

}  // namespace
}  // namespace sagebrush::agent
