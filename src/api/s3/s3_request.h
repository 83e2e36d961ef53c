#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "api/call_context.h"
#include "base/result.h"
#include "http/message.h"
#include "objstore/object_store.h"

// What an S3 request says, read from its address, query and headers.
namespace sagebrush::api::s3 {

// One request with its address taken apart. Lives in the frame of S3Service::Handle.
struct Call {
  http::Request& request;
  const CallContext& context;
  std::string bucket;  // "" for the service itself
  std::string key;     // "" for the bucket itself

  std::string_view Header(std::string_view name) const { return request.headers.Get(name); }
  std::string Query(std::string_view name) const {
    const std::string* value = request.QueryValue(name);
    return value == nullptr ? std::string() : *value;
  }
};

// Virtual-host style for <bucket>.s3[.<region>].amazonaws.com (also .dualstack. and s3-<region>), else path style.
// InvalidURI for a broken escape.
Result<Call> ParseCall(http::Request& request, const CallContext& context);

// The name of a query parameter that asks for a feature that is not here, or "". `served` are those that are.
std::string_view UnsupportedSubresource(const Call& call, std::initializer_list<std::string_view> served);
// NotImplemented for headers whose meaning would be lost (customer keys, object lock, redirects), naming the header.
Result<void> RefuseUnsupportedHeaders(const Call& call);

// Content type, stored headers, x-amz-meta-*, If-Match, If-None-Match and Content-MD5 of a write; without checksum.
Result<objstore::PutOptions> ParsePutOptions(const Call& call);
// The checksum that x-amz-checksum-*, x-amz-trailer or x-amz-sdk-checksum-algorithm state for the body.
Result<objstore::ChecksumRequest> ParseChecksum(const Call& call);
// "x-amz-checksum-crc32" for "CRC32".
std::string ChecksumHeader(std::string_view algorithm);
// "ChecksumCRC32", its name in XML.
std::string ChecksumElement(std::string_view algorithm);

enum class Condition { kProceed, kNotModified, kFailed };
// If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since as RFC 9110 orders them; `prefix` is "" or
// "x-amz-copy-source-".
Condition CheckConditions(const Call& call, std::string_view prefix, const objstore::ObjectInfo& info);
// Seconds since the epoch of an HTTP date in any of its three forms.
std::optional<int64_t> ParseHttpDate(std::string_view text);

struct ByteRange {
  uint64_t offset = 0;
  uint64_t length = 0;
};
// nullopt for the whole object (no header, one that RFC 9110 says to ignore, or several ranges, which S3 does not
// serve); InvalidRange when nothing of it lies in the object.
Result<std::optional<ByteRange>> ParseRange(std::string_view header, uint64_t size);
// x-amz-copy-source-range: "bytes=first-last", inside the source.
Result<ByteRange> ParseCopyRange(std::string_view header, uint64_t size);

struct ObjectName {
  std::string bucket, key;
};
Result<ObjectName> ParseCopySource(std::string_view header);

// A count in the query between 0 and `most`, `most` when absent; larger ones mean `most`.
Result<int64_t> ParseCount(const Call& call, std::string_view name, int64_t most);
// True for encoding-type=url; InvalidArgument for another value.
Result<bool> WantsUrlEncoding(const Call& call);

http::Response XmlResponse(int status, std::string body);
std::string Quoted(std::string_view etag);
inline constexpr std::string_view kXmlns = "http://s3.amazonaws.com/doc/2006-03-01/";

}  // namespace sagebrush::api::s3
