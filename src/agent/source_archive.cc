#include "agent/source_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include <memory>
#include <system_error>

namespace sagebrush::agent {
namespace {

namespace fs = std::filesystem;

struct ReaderDeleter {
  void operator()(archive* reader) const { archive_read_free(reader); }
};
struct WriterDeleter {
  void operator()(archive* writer) const { archive_write_free(writer); }
};

// Messages follow the archive's name.
Error Unsafe(const std::string& member, const std::string& why) {
  return InvalidArgument("is refused: its member \"" + member + "\" " + why + ".");
}

Error Broken(archive* from) {
  const char* text = archive_error_string(from);
  return InvalidArgument(std::string("cannot be unpacked; it must be a gzip-compressed tar file: ") +
                         (text != nullptr ? text : "unknown error"));
}

// The member's place below the directory; an error when it has none. "" for the directory itself, which the SageMaker
// Python SDK calls "/" in the model archives that it packs anew.
Result<fs::path> PlaceOf(const std::string& member) {
  fs::path path(member);
  if (path == path.root_path()) return fs::path();
  if (path.is_absolute()) return Fail(Unsafe(member, "has an absolute name"));
  fs::path place;
  for (const fs::path& part : path) {
    if (part == "..") return Fail(Unsafe(member, "has \"..\" in its name"));
    if (part != "." && !part.empty()) place /= part;
  }
  return place;
}

// Follows `target` from `from` by words alone; true when it never leaves the directory.
bool StaysInside(const fs::path& from, const fs::path& target) {
  if (target.is_absolute()) return false;
  int depth = 0;
  for (const fs::path& part : from / target) {
    if (part == "..") {
      if (--depth < 0) return false;
    } else if (part != "." && !part.empty()) {
      ++depth;
    }
  }
  return true;
}

Result<bool> PrepareEntry(archive_entry* entry, const fs::path& directory) {
  const char* name = archive_entry_pathname(entry);
  std::string member = name != nullptr ? name : "";
  TRY(fs::path place, PlaceOf(member));
  if (place.empty()) return false;
  fs::path above;
  for (const fs::path& part : place.parent_path()) {
    above /= part;
    std::error_code error;
    if (fs::is_symlink(directory / above, error)) return Fail(Unsafe(member, "lies behind a link"));
  }
  auto type = archive_entry_filetype(entry);
  if (const char* linked = archive_entry_hardlink(entry)) {
    TRY(fs::path target, PlaceOf(linked));
    archive_entry_set_hardlink(entry, (directory / target).c_str());
  } else if (type == AE_IFLNK) {
    const char* target = archive_entry_symlink(entry);
    if (target == nullptr || !StaysInside(place.parent_path(), target)) {
      return Fail(Unsafe(member, std::string("is a link that leads outside (to \"") + (target ? target : "") + "\")"));
    }
  } else if (type != AE_IFREG && type != AE_IFDIR) {
    return false;
  }
  archive_entry_set_pathname(entry, (directory / place).c_str());
  // Never set-user-id, always readable by its owner.
  archive_entry_set_perm(entry, (archive_entry_perm(entry) & 0777) | (type == AE_IFDIR ? 0700 : 0600));
  return true;
}

Result<void> CopyData(archive* reader, archive* writer) {
  const void* block = nullptr;
  size_t size = 0;
  la_int64_t offset = 0;
  while (true) {
    int got = archive_read_data_block(reader, &block, &size, &offset);
    if (got == ARCHIVE_EOF) return {};
    if (got < ARCHIVE_WARN) return Fail(Broken(reader));
    if (archive_write_data_block(writer, block, size, offset) < ARCHIVE_OK) return Fail(Broken(writer));
  }
}

Result<void> Extract(int archive_fd, const fs::path& directory) {
  std::unique_ptr<archive, ReaderDeleter> reader(archive_read_new());
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_format_tar(reader.get());
  if (archive_read_open_fd(reader.get(), archive_fd, 256 * 1024) != ARCHIVE_OK) return Fail(Broken(reader.get()));
  std::unique_ptr<archive, WriterDeleter> writer(archive_write_disk_new());
  archive_write_disk_set_options(writer.get(),
                                 ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_SECURE_NODOTDOT);
  while (true) {
    archive_entry* entry = nullptr;
    int got = archive_read_next_header(reader.get(), &entry);
    if (got == ARCHIVE_EOF) return {};
    if (got < ARCHIVE_WARN) return Fail(Broken(reader.get()));
    TRY(bool wanted, PrepareEntry(entry, directory));
    if (!wanted) continue;
    if (archive_write_header(writer.get(), entry) < ARCHIVE_WARN) return Fail(Broken(writer.get()));
    if (archive_entry_size(entry) > 0) TRYV(CopyData(reader.get(), writer.get()));
    if (archive_write_finish_entry(writer.get()) < ARCHIVE_WARN) return Fail(Broken(writer.get()));
  }
}

}  // namespace

Result<void> ExtractArchive(int archive_fd, const fs::path& directory, const std::string& what) {
  Result<void> extracted = Extract(archive_fd, directory);
  if (!extracted) extracted.error().message.insert(0, what + " ");
  return extracted;
}

}  // namespace sagebrush::agent
