#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "objstore/checksum.h"
#include "objstore/store_test_util.h"

namespace sagebrush::objstore {
namespace {

// One store for all cases, a bucket for each: opening costs more than a case.
StoreDirectory& Shared() {
  static StoreDirectory directory;
  return directory;
}

std::string NewBucket() {
  static int count = 0;
  std::string bucket = "case-" + std::to_string(++count);
  RC_ASSERT(Shared().store().CreateBucket(bucket).has_value());
  return bucket;
}

rc::Gen<std::string> AnyKey() {
  auto piece = rc::gen::element<std::string>("a", "b", "/", "//", "-", "é", "\xF4\x8F\xBF\xBF", "ab/");
  return rc::gen::map(rc::gen::nonEmpty(rc::gen::container<std::vector<std::string>>(piece)),
                      [](const std::vector<std::string>& pieces) {
                        std::string key;
                        for (size_t i = 0; i < pieces.size() && i < 6; ++i) key += pieces[i];
                        return key;
                      });
}
rc::Gen<std::string> AnyPart() { return rc::gen::oneOf(rc::gen::just(std::string()), AnyKey()); }

using Model = std::map<std::string, std::string>;

// What a listing holds, by its definition: every key behind the marker, or the group it belongs to.
struct Expected {
  std::vector<std::string> keys, groups;
};
Expected ExpectedListing(const Model& model, const ListRequest& request) {
  Expected expected;
  auto group_of = [&request](const std::string& key) {
    size_t at = request.delimiter.empty() ? key.npos : key.find(request.delimiter, request.prefix.size());
    return at == key.npos ? std::string() : key.substr(0, at + request.delimiter.size());
  };
  const std::string& marker = request.start_after;
  bool marker_is_group = marker.starts_with(request.prefix) && !marker.empty() && group_of(marker) == marker;
  for (const auto& [key, data] : model) {
    if (!key.starts_with(request.prefix) || key <= marker) continue;
    if (marker_is_group && key.starts_with(marker)) continue;
    std::string group = group_of(key);
    if (group.empty()) {
      expected.keys.push_back(key);
    } else if (expected.groups.empty() || expected.groups.back() != group) {
      expected.groups.push_back(group);
    }
  }
  return expected;
}

RC_GTEST_PROP(StoreProperty, BehavesLikeAMap, ()) {
  ObjectStore& store = Shared().store();
  std::string bucket = NewBucket();
  Model model;
  auto keys = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::string>>(AnyKey()));
  if (keys.size() > 20) keys.resize(20);
  for (const std::string& key : keys) {
    switch (*rc::gen::inRange(0, 5)) {
      case 0: {
        RC_ASSERT(store.Delete(bucket, key).has_value());
        model.erase(key);
        break;
      }
      case 1: {
        std::string from = *rc::gen::elementOf(keys);
        bool copied = store.Copy(bucket, from, bucket, key, std::nullopt).has_value();
        RC_ASSERT(copied == model.contains(from));
        if (copied) model[key] = model[from];
        break;
      }
      default: {
        size_t size = *rc::gen::element<size_t>(0, 1, 100, ObjectStore::kInlineBytes, ObjectStore::kInlineBytes + 1);
        std::string data(size, static_cast<char>('a' + *rc::gen::inRange(0, 26)));
        auto put = PutString(store, bucket, key, data);
        RC_ASSERT(put.has_value());
        RC_ASSERT(put->etag == HexEncode(Md5(data)));
        model[key] = data;
      }
    }
  }
  for (const std::string& key : keys) {
    auto got = GetString(store, bucket, key);
    RC_ASSERT(got.has_value() == model.contains(key));
    if (got) RC_ASSERT(*got == model[key]);
  }
  auto listed = store.List(bucket, {});
  RC_ASSERT(listed->objects.size() == model.size());
  size_t i = 0;
  for (const auto& [key, data] : model) {
    RC_ASSERT(listed->objects[i].key == key);
    RC_ASSERT(listed->objects[i++].size == data.size());
  }
}

// Every reference of every bucket of this process's cases, against the files there are: nothing leaks.
TEST(StoreProperty, DeletingEverythingLeavesNoFiles) {
  StoreDirectory directory;
  ObjectStore& store = directory.store();
  ASSERT_TRUE(store.CreateBucket("bucket").has_value());
  std::string large(100'000, 'x');
  std::vector<std::string> keys;
  for (int i = 0; i < 20; ++i) {
    keys.push_back("k" + std::to_string(i));
    ASSERT_TRUE(PutString(store, "bucket", keys.back(), i % 2 == 0 ? large : "small").has_value());
    ASSERT_TRUE(store.Copy("bucket", keys.back(), "bucket", "copy" + keys.back(), std::nullopt).has_value());
  }
  ASSERT_TRUE(store.DeleteMany("bucket", keys).has_value());
  EXPECT_EQ(directory.CountFiles("blobs"), 10u);
  for (std::string& key : keys) key = "copy" + key;
  ASSERT_TRUE(store.DeleteMany("bucket", keys).has_value());
  EXPECT_EQ(directory.CountFiles("blobs"), 0u);
}

RC_GTEST_PROP(StoreProperty, ListingsMatchTheirDefinitionAndPagesJoin, ()) {
  ObjectStore& store = Shared().store();
  std::string bucket = NewBucket();
  Model model;
  for (const std::string& key : *rc::gen::container<std::vector<std::string>>(AnyKey())) {
    if (model.size() == 30) break;
    RC_ASSERT(PutString(store, bucket, key, "").has_value());
    model[key] = "";
  }
  for (int round = 0; round < 10; ++round) {
    ListRequest request{*AnyPart(), *rc::gen::element<std::string>("", "/", "//", "b", "é"), *AnyPart(), 1000};
    Expected expected = ExpectedListing(model, request);
    request.max_keys = *rc::gen::element<size_t>(1, 2, 3, 1000);
    Expected found;
    for (bool more = true; more;) {
      auto page = store.List(bucket, request);
      RC_ASSERT(page.has_value());
      size_t entries = page->objects.size() + page->common_prefixes.size();
      RC_ASSERT(entries <= request.max_keys);
      RC_ASSERT(!page->truncated || entries == request.max_keys);
      for (const ObjectInfo& object : page->objects) found.keys.push_back(object.key);
      found.groups.insert(found.groups.end(), page->common_prefixes.begin(), page->common_prefixes.end());
      more = page->truncated;
      request.start_after = page->next;
    }
    RC_ASSERT(found.keys == expected.keys);
    RC_ASSERT(found.groups == expected.groups);
  }
}

TEST(Listing, SkipsOverACommonPrefixHoweverManyKeysItHas) {
  StoreDirectory directory;
  ObjectStore& store = directory.store();
  ASSERT_TRUE(store.CreateBucket("bucket").has_value());
  for (const char* key : {"a/1", "a/2", "b", "c/1"}) ASSERT_TRUE(PutString(store, "bucket", key, "").has_value());
  auto page = store.List("bucket", {"", "/", "", 2});
  ASSERT_TRUE(page->truncated);
  EXPECT_EQ(page->common_prefixes, std::vector<std::string>{"a/"});
  EXPECT_EQ(page->next, "b");
  auto none = store.List("bucket", {"", "/", "", 0});
  EXPECT_FALSE(none->truncated);
  EXPECT_TRUE(none->objects.empty());
  EXPECT_EQ(CodeOf(store.List("absent", {})), "NoSuchBucket");
}

TEST(Checksum, KnownValues) {
  auto of = [](std::string_view algorithm, std::string_view data) {
    Checksum checksum = *Checksum::Create(algorithm);
    checksum.Update(data.substr(0, 3));
    checksum.Update(data.substr(3));
    return HexEncode(checksum.Finish());
  };
  EXPECT_EQ(of("CRC32", "123456789"), "cbf43926");
  EXPECT_EQ(of("CRC32C", "123456789"), "e3069283");
  EXPECT_EQ(of("CRC64NVME", "123456789"), "ae8b14860a799888");
  EXPECT_EQ(of("SHA1", "123456789"), "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
}

RC_GTEST_PROP(Checksum, CrcsOfPartsCombineToTheWholes, (const std::string& first, const std::string& second)) {
  for (const char* algorithm : {"CRC32", "CRC32C", "CRC64NVME"}) {
    auto of = [algorithm](const std::string& data) {
      Checksum checksum = *Checksum::Create(algorithm);
      checksum.Update(data);
      return checksum.Finish();
    };
    RC_ASSERT(CombineCrc(algorithm, of(first), of(second), second.size()) == of(first + second));
  }
}

}  // namespace
}  // namespace sagebrush::objstore
