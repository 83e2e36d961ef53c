#pragma once

#include <cstddef>
#include <cstdint>

// TensorFlow's C interface for file-system plug-ins, ABI 0: the layout that every TensorFlow 2.x reads. Declared here
// as facts, so that building needs no TensorFlow; tests/support/tf_layout_check.cc compares it with a wheel's own
// header. Core copies as many bytes of a table as plug-in and core both know, and takes a null member for "use the
// default", so the table of the file system ends at the last member that this plug-in could fill. Source:
// tensorflow/c/experimental/filesystem/filesystem_interface.h and tensorflow/c/tf_file_statistics.h.
namespace sagebrush::tfs3 {

extern "C" {

struct TfStatus;  // opaque: TF_Status

struct TfFile {  // TF_RandomAccessFile, TF_WritableFile, TF_ReadOnlyMemoryRegion and TF_Filesystem alike
  void* state;
};

struct TfFileStatistics {
  int64_t length;
  int64_t mtime_ns;
  bool is_directory;
};

struct TfReadOps {
  void (*cleanup)(TfFile*);
  int64_t (*read)(const TfFile*, uint64_t offset, size_t size, char* buffer, TfStatus*);
};

struct TfWriteOps {
  void (*cleanup)(TfFile*);
  void (*append)(const TfFile*, const char* data, size_t size, TfStatus*);
  int64_t (*tell)(const TfFile*, TfStatus*);
  void (*flush)(const TfFile*, TfStatus*);
  void (*sync)(const TfFile*, TfStatus*);
  void (*close)(const TfFile*, TfStatus*);
};

struct TfRegionOps {
  void (*cleanup)(TfFile*);
  const void* (*data)(const TfFile*);
  uint64_t (*length)(const TfFile*);
};

struct TfFilesystemOps {
  void (*init)(TfFile*, TfStatus*);
  void (*cleanup)(TfFile*);
  void (*new_random_access_file)(const TfFile*, const char* path, TfFile* file, TfStatus*);
  void (*new_writable_file)(const TfFile*, const char* path, TfFile* file, TfStatus*);
  void (*new_appendable_file)(const TfFile*, const char* path, TfFile* file, TfStatus*);
  void (*new_read_only_memory_region_from_file)(const TfFile*, const char* path, TfFile* region, TfStatus*);
  void (*create_dir)(const TfFile*, const char* path, TfStatus*);
  void (*recursively_create_dir)(const TfFile*, const char* path, TfStatus*);
  void (*delete_file)(const TfFile*, const char* path, TfStatus*);
  void (*delete_dir)(const TfFile*, const char* path, TfStatus*);
  void (*delete_recursively)(const TfFile*, const char* path, uint64_t* files, uint64_t* directories, TfStatus*);
  void (*rename_file)(const TfFile*, const char* from, const char* to, TfStatus*);
  void (*copy_file)(const TfFile*, const char* from, const char* to, TfStatus*);
  void (*path_exists)(const TfFile*, const char* path, TfStatus*);
  bool (*paths_exist)(const TfFile*, char** paths, int count, TfStatus** statuses);
  void (*stat)(const TfFile*, const char* path, TfFileStatistics*, TfStatus*);
  bool (*is_directory)(const TfFile*, const char* path, TfStatus*);
  int64_t (*get_file_size)(const TfFile*, const char* path, TfStatus*);
  char* (*translate_name)(const TfFile*, const char* uri);
  int (*get_children)(const TfFile*, const char* path, char*** entries, TfStatus*);
  int (*get_matching_paths)(const TfFile*, const char* glob, char*** entries, TfStatus*);
  void (*flush_caches)(const TfFile*);
};

struct TfPluginOps {  // TF_FilesystemPluginOps: ABI and API numbers are 0 in every release
  char* scheme;
  int filesystem_abi, filesystem_api;
  size_t filesystem_size;
  TfFilesystemOps* filesystem;
  int read_abi, read_api;
  size_t read_size;
  TfReadOps* read;
  int write_abi, write_api;
  size_t write_size;
  TfWriteOps* write;
  int region_abi, region_api;
  size_t region_size;
  TfRegionOps* region;
};

struct TfPluginInfo {  // TF_FilesystemPluginInfo; core frees what is in it with `free`
  size_t num_schemes;
  TfPluginOps* ops;
  void* (*allocate)(size_t);
  void (*free)(void*);
};

}  // extern "C"

// TF_Code.
enum TfCode : int {
  kTfOk = 0,
  kTfCancelled = 1,
  kTfInvalidArgument = 3,
  kTfDeadlineExceeded = 4,
  kTfNotFound = 5,
  kTfAlreadyExists = 6,
  kTfPermissionDenied = 7,
  kTfResourceExhausted = 8,
  kTfFailedPrecondition = 9,
  kTfOutOfRange = 11,
  kTfUnimplemented = 12,
  kTfInternal = 13,
  kTfUnavailable = 14,
  kTfDataLoss = 15,
  kTfUnauthenticated = 16,
};

}  // namespace sagebrush::tfs3
