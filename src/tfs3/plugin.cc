// The file system as TensorFlow sees it: TF_InitPlugin, the only symbol that the library exports, and the tables of
// functions behind it. Loaded by tf.experimental.register_filesystem_plugin into a process that is not ours: no
// exception leaves a function of the tables, nothing runs at exit, and TensorFlow's own functions are looked up in what
// the process has loaded, so that one library serves every TensorFlow 2.x.
#include <dlfcn.h>
#include <link.h>
#include <openssl/crypto.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>

#include "tfs3/file_system.h"
#include "tfs3/reader.h"
#include "tfs3/tf_interface.h"
#include "tfs3/writer.h"

namespace sagebrush::tfs3 {
namespace {

using SetStatusFunction = void (*)(TfStatus*, int code, const char* message);

// TensorFlow's libraries are loaded without RTLD_GLOBAL, so each is asked by name.
int FindSetStatus(dl_phdr_info* info, size_t, void* out) {
  if (info->dlpi_name == nullptr || std::strstr(info->dlpi_name, "tensorflow") == nullptr) return 0;
  void* library = ::dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return 0;
  void* found = ::dlsym(library, "TF_SetStatus");
  ::dlclose(library);  // it stays loaded: this was one more count
  *static_cast<void**>(out) = found;
  return found == nullptr ? 0 : 1;
}

SetStatusFunction LookUpSetStatus() {
  void* found = ::dlsym(RTLD_DEFAULT, "TF_SetStatus");
  if (found == nullptr) ::dl_iterate_phdr(FindSetStatus, static_cast<void*>(&found));
  return reinterpret_cast<SetStatusFunction>(found);
}

SetStatusFunction g_set_status = nullptr;  // set once, before TensorFlow knows of the tables

int CodeOf(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidArgument:
      return kTfInvalidArgument;
    case ErrorKind::kUnauthenticated:
      return kTfUnauthenticated;
    case ErrorKind::kPermissionDenied:
      return kTfPermissionDenied;
    case ErrorKind::kNotFound:
      return kTfNotFound;
    case ErrorKind::kAlreadyExists:
      return kTfAlreadyExists;
    case ErrorKind::kFailedPrecondition:
      return kTfFailedPrecondition;
    case ErrorKind::kResourceExhausted:
      return kTfResourceExhausted;
    case ErrorKind::kUnsupported:
      return kTfUnimplemented;
    case ErrorKind::kDeadlineExceeded:
      return kTfDeadlineExceeded;
    case ErrorKind::kCancelled:
      return kTfCancelled;
    case ErrorKind::kUnavailable:
      return kTfUnavailable;
    case ErrorKind::kDataLoss:
      return kTfDataLoss;
    case ErrorKind::kInternal:
      return kTfInternal;
  }
  return kTfInternal;
}

template <class T>
bool SetStatus(TfStatus* status, const Result<T>& result) {
  if (result) {
    g_set_status(status, kTfOk, "");
  } else {
    g_set_status(status, CodeOf(result.error().kind), result.error().message.c_str());
  }
  return result.has_value();
}

// Runs `work`, which returns a Result, and turns what the standard library throws into a status as well.
template <class Work>
auto Guarded(TfStatus* status, Work work) -> decltype(work()) {
  decltype(work()) result = Fail(Internal(""));
  try {
    result = work();
  } catch (const std::bad_alloc&) {
    result = Fail(Error(ErrorKind::kResourceExhausted, "There is no memory left for the s3:// file system."));
  } catch (const std::exception& error) {
    result = Fail(Internal(std::string("The s3:// file system failed: ") + error.what()));
  }
  SetStatus(status, result);
  return result;
}

S3Client& ClientOf(const TfFile* filesystem) { return *static_cast<S3Client*>(filesystem->state); }
template <class T>
T& StateOf(const TfFile* file) {
  return *static_cast<T*>(file->state);
}
template <class T>
void DeleteState(TfFile* file) {
  delete static_cast<T*>(file->state);
  file->state = nullptr;
}

// Files.

int64_t ReadFile(const TfFile* file, uint64_t offset, size_t size, char* buffer, TfStatus* status) {
  Result<size_t> read = Guarded(status, [&] { return StateOf<Reader>(file).Read(offset, size, buffer); });
  if (!read) return -1;
  if (*read < size) g_set_status(status, kTfOutOfRange, "The file ends here.");
  return static_cast<int64_t>(*read);
}

void AppendToFile(const TfFile* file, const char* data, size_t size, TfStatus* status) {
  static_cast<void>(Guarded(status, [&] { return StateOf<Writer>(file).Write({data, size}); }));
}
int64_t TellFile(const TfFile* file, TfStatus* status) {
  g_set_status(status, kTfOk, "");
  return static_cast<int64_t>(StateOf<Writer>(file).size());
}
void FlushFile(const TfFile* file, TfStatus* status) {
  static_cast<void>(Guarded(status, [&] { return StateOf<Writer>(file).Flush(); }));
}
void SyncFile(const TfFile* file, TfStatus* status) {
  static_cast<void>(Guarded(status, [&] { return StateOf<Writer>(file).Commit(); }));
}
void CloseFile(const TfFile* file, TfStatus* status) {
  static_cast<void>(Guarded(status, [&] { return StateOf<Writer>(file).Close(); }));
}

const void* RegionData(const TfFile* region) { return StateOf<std::string>(region).data(); }
uint64_t RegionLength(const TfFile* region) { return StateOf<std::string>(region).size(); }

// The file system.

void Init(TfFile* filesystem, TfStatus* status) {
  auto made = Guarded(
      status, [] { return Result<std::unique_ptr<S3Client>>(std::make_unique<S3Client>(S3Client::Options{})); });
  if (made) filesystem->state = made->release();
}

void OpenReader(const TfFile* filesystem, const char* path, TfFile* file, TfStatus* status) {
  auto opened = Guarded(status, [&]() -> Result<std::unique_ptr<Reader>> {
    TRY(Location object, ParseFile(path));
    S3Client& client = ClientOf(filesystem);
    Result<std::unique_ptr<Reader>> reader = Reader::Open(client, std::move(object));
    if (reader || reader.error().kind != ErrorKind::kNotFound) return reader;
    Result<FileStatus> there = FileSystem(client).Stat(path);
    if (there && there->directory) {
      return Fail(Error(ErrorKind::kFailedPrecondition, std::string(path) + " is a directory."));
    }
    return reader;
  });
  if (opened) file->state = opened->release();
}

void OpenWriter(const TfFile* filesystem, const char* path, TfFile* file, TfStatus* status) {
  auto opened = Guarded(status, [&]() -> Result<std::unique_ptr<Writer>> {
    TRY(Location object, ParseFile(path));
    return Writer::Create(ClientOf(filesystem), std::move(object));
  });
  if (opened) file->state = opened->release();
}

void OpenAppender(const TfFile* filesystem, const char* path, TfFile* file, TfStatus* status) {
  auto opened = Guarded(status, [&]() -> Result<std::unique_ptr<Writer>> {
    TRY(Location object, ParseFile(path));
    return Writer::Append(ClientOf(filesystem), std::move(object));
  });
  if (opened) file->state = opened->release();
}

void OpenRegion(const TfFile* filesystem, const char* path, TfFile* region, TfStatus* status) {
  auto opened = Guarded(status, [&]() -> Result<std::unique_ptr<std::string>> {
    TRY(Location object, ParseFile(path));
    TRY(std::string whole, ReadWhole(ClientOf(filesystem), object));
    return std::make_unique<std::string>(std::move(whole));
  });
  if (opened) region->state = opened->release();
}

void CreateDir(const TfFile* filesystem, const char* path, TfStatus* status) {
  static_cast<void>(Guarded(status, [&] { return FileSystem(ClientOf(filesystem)).MakeDirectory(path, false); }));
}
void CreateDirs(const TfFile* filesystem, const char* path, TfStatus* status) {
  static_cast<void>(Guarded(status, [&] { return FileSystem(ClientOf(filesystem)).MakeDirectory(path, true); }));
}
void DeleteFileAt(const TfFile* filesystem, const char* path, TfStatus* status) {
  static_cast<void>(Guarded(status, [&] { return FileSystem(ClientOf(filesystem)).DeleteFile(path); }));
}
void DeleteDirAt(const TfFile* filesystem, const char* path, TfStatus* status) {
  static_cast<void>(Guarded(status, [&] { return FileSystem(ClientOf(filesystem)).DeleteDirectory(path); }));
}
void DeleteTreeAt(const TfFile* filesystem, const char* path, uint64_t* files, uint64_t* directories,
                  TfStatus* status) {
  *files = 0;
  auto deleted = Guarded(status, [&] { return FileSystem(ClientOf(filesystem)).DeleteTree(path, *files); });
  *directories = deleted ? 0 : 1;
}
void RenameAt(const TfFile* filesystem, const char* from, const char* to, TfStatus* status) {
  static_cast<void>(Guarded(status, [&] { return FileSystem(ClientOf(filesystem)).Rename(from, to); }));
}
void CopyAt(const TfFile* filesystem, const char* from, const char* to, TfStatus* status) {
  static_cast<void>(Guarded(status, [&] { return FileSystem(ClientOf(filesystem)).Copy(from, to); }));
}

Result<FileStatus> StatAt(const TfFile* filesystem, const char* path, TfStatus* status) {
  return Guarded(status, [&] { return FileSystem(ClientOf(filesystem)).Stat(path); });
}
void PathExists(const TfFile* filesystem, const char* path, TfStatus* status) {
  static_cast<void>(StatAt(filesystem, path, status));
}
void StatPath(const TfFile* filesystem, const char* path, TfFileStatistics* out, TfStatus* status) {
  Result<FileStatus> found = StatAt(filesystem, path, status);
  if (found) *out = {static_cast<int64_t>(found->size), found->modified_ns, found->directory};
}
// Core looks at the status only.
bool IsDirectoryAt(const TfFile* filesystem, const char* path, TfStatus* status) {
  Result<FileStatus> found = StatAt(filesystem, path, status);
  if (found && !found->directory) g_set_status(status, kTfFailedPrecondition, "It is a file, not a directory.");
  return found && found->directory;
}
int64_t SizeAt(const TfFile* filesystem, const char* path, TfStatus* status) {
  Result<FileStatus> found = StatAt(filesystem, path, status);
  if (found && found->directory) g_set_status(status, kTfFailedPrecondition, "It is a directory, not a file.");
  return found && !found->directory ? static_cast<int64_t>(found->size) : -1;
}

// Memory that core frees with the plug-in's `free`.
char* CopyText(const std::string& text) {
  auto* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy != nullptr) std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

char* TranslateName(const TfFile*, const char* uri) {
  char* clean = CopyText(CleanUri(uri));
  return clean != nullptr ? clean : CopyText("");
}

int HandOver(const Result<std::vector<std::string>>& names, char*** entries, TfStatus* status) {
  *entries = nullptr;
  if (!names) return -1;
  auto** list = static_cast<char**>(std::calloc(names->size() + 1, sizeof(char*)));
  bool complete = list != nullptr;
  for (size_t i = 0; complete && i < names->size(); ++i) {
    list[i] = CopyText((*names)[i]);
    complete = list[i] != nullptr;
  }
  if (complete) {
    *entries = list;
    return static_cast<int>(names->size());
  }
  for (size_t i = 0; list != nullptr && i < names->size(); ++i) std::free(list[i]);
  std::free(static_cast<void*>(list));
  g_set_status(status, kTfResourceExhausted, "There is no memory left for a listing.");
  return -1;
}

int ChildrenOf(const TfFile* filesystem, const char* path, char*** entries, TfStatus* status) {
  auto names = Guarded(status, [&] { return FileSystem(ClientOf(filesystem)).Children(path); });
  return HandOver(names, entries, status);
}
int MatchingPaths(const TfFile* filesystem, const char* glob, char*** entries, TfStatus* status) {
  auto names = Guarded(status, [&] { return FileSystem(ClientOf(filesystem)).Matching(glob); });
  return HandOver(names, entries, status);
}

// A table in memory that core frees; null when there is none.
template <class T>
T* Handed(const T& table) {
  auto* copy = static_cast<T*>(std::malloc(sizeof(T)));
  if (copy != nullptr) *copy = table;
  return copy;
}

TfFilesystemOps FilesystemTable() {
  TfFilesystemOps table{};
  table.init = Init;
  table.cleanup = DeleteState<S3Client>;
  table.new_random_access_file = OpenReader;
  table.new_writable_file = OpenWriter;
  table.new_appendable_file = OpenAppender;
  table.new_read_only_memory_region_from_file = OpenRegion;
  table.create_dir = CreateDir;
  table.recursively_create_dir = CreateDirs;
  table.delete_file = DeleteFileAt;
  table.delete_dir = DeleteDirAt;
  table.delete_recursively = DeleteTreeAt;
  table.rename_file = RenameAt;
  table.copy_file = CopyAt;
  table.path_exists = PathExists;
  table.stat = StatPath;
  table.is_directory = IsDirectoryAt;
  table.get_file_size = SizeAt;
  table.translate_name = TranslateName;
  table.get_children = ChildrenOf;
  table.get_matching_paths = MatchingPaths;
  return table;
}

}  // namespace
}  // namespace sagebrush::tfs3

extern "C" __attribute__((visibility("default"))) void TF_InitPlugin(sagebrush::tfs3::TfPluginInfo* info) {
  using namespace sagebrush::tfs3;
  // Core refuses a plug-in without the functions for memory, with an error that the caller sees.
  *info = {};
  g_set_status = LookUpSetStatus();
  if (g_set_status == nullptr) {
    std::fprintf(stderr, "sagebrush: s3:// is not available: this TensorFlow has no TF_SetStatus\n");
    return;
  }
  // This copy of the library reads no configuration of the machine and must not clean up under threads at exit.
  ::OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
  TfPluginOps ops{};
  ops.scheme = CopyText("s3");
  ops.filesystem_size = sizeof(TfFilesystemOps);
  ops.filesystem = Handed(FilesystemTable());
  ops.read_size = sizeof(TfReadOps);
  ops.read = Handed(TfReadOps{DeleteState<Reader>, ReadFile});
  ops.write_size = sizeof(TfWriteOps);
  ops.write = Handed(TfWriteOps{DeleteState<Writer>, AppendToFile, TellFile, FlushFile, SyncFile, CloseFile});
  ops.region_size = sizeof(TfRegionOps);
  ops.region = Handed(TfRegionOps{DeleteState<std::string>, RegionData, RegionLength});
  if (TfPluginOps* handed = Handed(ops); handed != nullptr) *info = {1, handed, std::malloc, std::free};
}
