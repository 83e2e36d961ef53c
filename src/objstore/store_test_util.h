#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "objstore/object_store.h"

namespace sagebrush::objstore {

// A store in a directory of its own that goes with the fixture.
class StoreDirectory {
 public:
  StoreDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "objstore-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
    Reopen();
  }
  ~StoreDirectory() {
    store_.reset();
    std::filesystem::remove_all(path_);
  }

  void Reopen() {
    store_.reset();
    auto opened = ObjectStore::Open(path_ / "objects", BlobOwner{::geteuid(), ::getegid()}, clock_);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    store_ = std::move(*opened);
  }
  ObjectStore& store() { return *store_; }
  const std::filesystem::path& path() const { return path_; }
  ManualClock& clock() { return clock_; }

  // Files below blobs/ or inline/.
  size_t CountFiles(const std::string& kind) const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path_ / "objects" / kind)) {
      count += entry.is_regular_file() && entry.path().filename() != "boot_id";
    }
    return count;
  }

 private:
  std::filesystem::path path_;
  ManualClock clock_{1'700'000'000'000};
  std::unique_ptr<ObjectStore> store_;
};

inline Result<ObjectInfo> PutString(ObjectStore& store, const std::string& bucket, const std::string& key,
                                    std::string_view data, PutOptions options = {}) {
  TRY(auto writer, store.Put(bucket, key, std::move(options)));
  TRYV(writer->Append(data));
  return writer->Commit();
}

inline Result<ObjectInfo> PutPartString(ObjectStore& store, const std::string& bucket, const std::string& key,
                                        const std::string& upload, int number, std::string_view data,
                                        ChecksumRequest checksum = {}) {
  TRY(auto writer, store.PutPart(bucket, key, upload, number, std::move(checksum), ""));
  TRYV(writer->Append(data));
  return writer->Commit();
}

inline Result<std::string> GetString(ObjectStore& store, const std::string& bucket, const std::string& key) {
  TRY(ObjectContent content, store.Get(bucket, key));
  if (!content.file) return content.inline_bytes;
  return io::ReadAt(content.file.get(), 0, static_cast<size_t>(content.info.size) + 1);
}

template <class T>
std::string CodeOf(const Result<T>& result) {
  return result ? "" : result.error().code;
}

}  // namespace sagebrush::objstore
