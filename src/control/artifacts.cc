#include "control/artifacts.h"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <set>

#include "control/training_job_request.h"
#include "io/file.h"

namespace sagebrush::control {
namespace fs = std::filesystem;
namespace {

namespace sm = gen::sagemaker;

using Reader = std::unique_ptr<archive, decltype(&archive_read_free)>;
using Writer = std::unique_ptr<archive, decltype(&archive_write_free)>;

Error ArchiveError(archive* handle, const fs::path& file) {
  const char* text = archive_error_string(handle);
  return Error(ErrorKind::kDataLoss, file.string() + ": " + (text != nullptr ? text : "unreadable archive"));
}

Result<void> CopyEntries(const fs::path& from, archive* to, const fs::path& target, std::set<std::string>& seen) {
  Reader reader(archive_read_new(), archive_read_free);
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_format_tar(reader.get());
  if (archive_read_open_filename(reader.get(), from.c_str(), 1 << 18) != ARCHIVE_OK) {
    return Fail(ArchiveError(reader.get(), from));
  }
  archive_entry* entry = nullptr;
  std::vector<char> buffer(1 << 18);
  while (true) {
    int code = archive_read_next_header(reader.get(), &entry);
    if (code == ARCHIVE_EOF) return {};
    if (code < ARCHIVE_WARN) return Fail(ArchiveError(reader.get(), from));
    if (!seen.insert(archive_entry_pathname(entry)).second) continue;
    if (archive_write_header(to, entry) < ARCHIVE_WARN) return Fail(ArchiveError(to, target));
    while (true) {
      la_ssize_t got = archive_read_data(reader.get(), buffer.data(), buffer.size());
      if (got < 0) return Fail(ArchiveError(reader.get(), from));
      if (got == 0) break;
      if (archive_write_data(to, buffer.data(), static_cast<size_t>(got)) < 0) {
        return Fail(ArchiveError(to, target));
      }
    }
  }
}

Result<void> Merge(const std::vector<fs::path>& archives, const fs::path& target) {
  Writer writer(archive_write_new(), archive_write_free);
  archive_write_add_filter_gzip(writer.get());
  archive_write_set_filter_option(writer.get(), "gzip", "compression-level", "1");
  archive_write_set_format_pax_restricted(writer.get());
  if (archive_write_open_filename(writer.get(), target.c_str()) != ARCHIVE_OK) {
    return Fail(ArchiveError(writer.get(), target));
  }
  std::set<std::string> seen;
  for (const fs::path& source : archives) TRYV(CopyEntries(source, writer.get(), target, seen));
  if (archive_write_close(writer.get()) != ARCHIVE_OK) return Fail(ArchiveError(writer.get(), target));
  return {};
}

// The store takes files by moving them; it gets a second name of ours.
Result<void> PutLinked(objstore::ObjectStore& objects, const S3Uri& target, const fs::path& file,
                       const std::string& content_type) {
  fs::path link = file.string() + ".publish";
  ::unlink(link.c_str());
  if (::link(file.c_str(), link.c_str()) != 0) return Fail(FromErrno(errno, "cannot link " + file.string()));
  objstore::PutOptions options;
  options.content_type = content_type;
  TRYV(objects.PutFile(target.bucket, target.key, link, options));
  return {};
}

Result<void> PutArchives(objstore::ObjectStore& objects, const std::string& uri, std::vector<fs::path> archives) {
  TRY(S3Uri target, ParseS3Uri(uri));
  fs::path file = archives[0];
  if (archives.size() > 1) {
    file = archives[0].parent_path() / ("merged-" + archives[0].filename().string());
    TRYV(Merge(archives, file));
  }
  return PutLinked(objects, target, file, "application/gzip");
}

Result<void> PutDirectories(objstore::ObjectStore& objects, const std::string& uri,
                            const std::vector<fs::path>& directories) {
  TRY(S3Uri target, ParseS3Uri(uri));
  std::set<std::string> seen;
  for (const fs::path& directory : directories) {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(directory, error)) {
      if (entry.is_symlink() || !entry.is_regular_file()) continue;
      std::string name = fs::relative(entry.path(), directory).string();
      if (!seen.insert(name).second) continue;
      TRYV(PutLinked(objects, {target.bucket, target.key + name}, entry.path(), "binary/octet-stream"));
    }
    if (error) return Fail(FromErrno(error.value(), "cannot list " + directory.string()));
  }
  return {};
}

}  // namespace

Result<bool> Publish(objstore::ObjectStore& objects, const sm::CreateTrainingJobRequest& request,
                     const std::vector<driver::InstanceStatus>& instances, bool with_model) {
  std::vector<fs::path> models, outputs;
  for (const driver::InstanceStatus& instance : instances) {
    if (with_model && !instance.model_archive.empty()) models.push_back(instance.model_archive);
    if (!instance.output_archive.empty()) outputs.push_back(instance.output_archive);
  }
  if (!outputs.empty()) TRYV(PutArchives(objects, OutputPrefix(request) + "/output.tar.gz", outputs));
  if (models.empty()) return false;
  std::error_code ignored;
  if (fs::is_directory(models[0], ignored)) {
    TRYV(PutDirectories(objects, ModelArtifactsUri(request), models));
  } else {
    TRYV(PutArchives(objects, ModelArtifactsUri(request), models));
  }
  return true;
}

}  // namespace sagebrush::control
