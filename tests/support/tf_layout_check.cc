// Compiled, never run: our declarations of TensorFlow's plug-in interface against the header of an installed wheel.
#include "tensorflow/c/experimental/filesystem/filesystem_interface.h"
#include "tfs3/tf_interface.h"

namespace ours = sagebrush::tfs3;

#define SAME_MEMBER(mine, their, my_member, their_member)                          \
  static_assert(offsetof(ours::mine, my_member) == offsetof(their, their_member)); \
  static_assert(sizeof(ours::mine::my_member) == sizeof(their::their_member))

static_assert(sizeof(ours::TfFile) == sizeof(TF_RandomAccessFile) && sizeof(ours::TfFile) == sizeof(TF_WritableFile));
static_assert(sizeof(ours::TfFile) == sizeof(TF_ReadOnlyMemoryRegion) && sizeof(ours::TfFile) == sizeof(TF_Filesystem));
static_assert(sizeof(ours::TfFileStatistics) == sizeof(TF_FileStatistics));
SAME_MEMBER(TfFileStatistics, TF_FileStatistics, length, length);
SAME_MEMBER(TfFileStatistics, TF_FileStatistics, mtime_ns, mtime_nsec);
SAME_MEMBER(TfFileStatistics, TF_FileStatistics, is_directory, is_directory);

static_assert(sizeof(ours::TfReadOps) == sizeof(TF_RandomAccessFileOps));
SAME_MEMBER(TfReadOps, TF_RandomAccessFileOps, read, read);
static_assert(sizeof(ours::TfWriteOps) == sizeof(TF_WritableFileOps));
SAME_MEMBER(TfWriteOps, TF_WritableFileOps, append, append);
SAME_MEMBER(TfWriteOps, TF_WritableFileOps, tell, tell);
SAME_MEMBER(TfWriteOps, TF_WritableFileOps, flush, flush);
SAME_MEMBER(TfWriteOps, TF_WritableFileOps, sync, sync);
SAME_MEMBER(TfWriteOps, TF_WritableFileOps, close, close);
static_assert(sizeof(ours::TfRegionOps) == sizeof(TF_ReadOnlyMemoryRegionOps));
SAME_MEMBER(TfRegionOps, TF_ReadOnlyMemoryRegionOps, data, data);
SAME_MEMBER(TfRegionOps, TF_ReadOnlyMemoryRegionOps, length, length);

static_assert(sizeof(ours::TfFilesystemOps) <= sizeof(TF_FilesystemOps));
#define SAME(member) SAME_MEMBER(TfFilesystemOps, TF_FilesystemOps, member, member)
SAME(init);
SAME(cleanup);
SAME(new_random_access_file);
SAME(new_writable_file);
SAME(new_appendable_file);
SAME(new_read_only_memory_region_from_file);
SAME(create_dir);
SAME(recursively_create_dir);
SAME(delete_file);
SAME(delete_dir);
SAME(delete_recursively);
SAME(rename_file);
SAME(copy_file);
SAME(path_exists);
SAME(paths_exist);
SAME(stat);
SAME(is_directory);
SAME(get_file_size);
SAME(translate_name);
SAME(get_children);
SAME(get_matching_paths);
SAME(flush_caches);

static_assert(sizeof(ours::TfPluginOps) == sizeof(TF_FilesystemPluginOps));
SAME_MEMBER(TfPluginOps, TF_FilesystemPluginOps, scheme, scheme);
SAME_MEMBER(TfPluginOps, TF_FilesystemPluginOps, filesystem_size, filesystem_ops_size);
SAME_MEMBER(TfPluginOps, TF_FilesystemPluginOps, filesystem, filesystem_ops);
SAME_MEMBER(TfPluginOps, TF_FilesystemPluginOps, read_size, random_access_file_ops_size);
SAME_MEMBER(TfPluginOps, TF_FilesystemPluginOps, read, random_access_file_ops);
SAME_MEMBER(TfPluginOps, TF_FilesystemPluginOps, write_size, writable_file_ops_size);
SAME_MEMBER(TfPluginOps, TF_FilesystemPluginOps, write, writable_file_ops);
SAME_MEMBER(TfPluginOps, TF_FilesystemPluginOps, region_size, read_only_memory_region_ops_size);
SAME_MEMBER(TfPluginOps, TF_FilesystemPluginOps, region, read_only_memory_region_ops);
static_assert(sizeof(ours::TfPluginInfo) == sizeof(TF_FilesystemPluginInfo));
SAME_MEMBER(TfPluginInfo, TF_FilesystemPluginInfo, num_schemes, num_schemes);
SAME_MEMBER(TfPluginInfo, TF_FilesystemPluginInfo, ops, ops);
SAME_MEMBER(TfPluginInfo, TF_FilesystemPluginInfo, allocate, plugin_memory_allocate);
SAME_MEMBER(TfPluginInfo, TF_FilesystemPluginInfo, free, plugin_memory_free);

static_assert(TF_FILESYSTEM_OPS_ABI == 0 && TF_RANDOM_ACCESS_FILE_OPS_ABI == 0);
static_assert(TF_WRITABLE_FILE_OPS_ABI == 0 && TF_READ_ONLY_MEMORY_REGION_OPS_ABI == 0);
static_assert(static_cast<int>(ours::kTfOk) == TF_OK && static_cast<int>(ours::kTfCancelled) == TF_CANCELLED);
static_assert(static_cast<int>(ours::kTfInvalidArgument) == TF_INVALID_ARGUMENT);
static_assert(static_cast<int>(ours::kTfDeadlineExceeded) == TF_DEADLINE_EXCEEDED);
static_assert(static_cast<int>(ours::kTfNotFound) == TF_NOT_FOUND);
static_assert(static_cast<int>(ours::kTfAlreadyExists) == TF_ALREADY_EXISTS);
static_assert(static_cast<int>(ours::kTfPermissionDenied) == TF_PERMISSION_DENIED);
static_assert(static_cast<int>(ours::kTfResourceExhausted) == TF_RESOURCE_EXHAUSTED);
static_assert(static_cast<int>(ours::kTfFailedPrecondition) == TF_FAILED_PRECONDITION);
static_assert(static_cast<int>(ours::kTfOutOfRange) == TF_OUT_OF_RANGE);
static_assert(static_cast<int>(ours::kTfUnimplemented) == TF_UNIMPLEMENTED);
static_assert(static_cast<int>(ours::kTfInternal) == TF_INTERNAL);
static_assert(static_cast<int>(ours::kTfUnavailable) == TF_UNAVAILABLE);
static_assert(static_cast<int>(ours::kTfDataLoss) == TF_DATA_LOSS);
static_assert(static_cast<int>(ours::kTfUnauthenticated) == TF_UNAUTHENTICATED);
