#include "api/s3/s3_request.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.h"
#include "objstore/names.h"

namespace sagebrush::api::s3 {
namespace {

constexpr std::string_view kAlgorithms[] = {"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"};
constexpr std::string_view kStoredHeaders[] = {"Cache-Control", "Content-Disposition", "Content-Language", "Expires"};
constexpr size_t kMostMetadata = 2048;

// Query parameters that select another operation of the S3 API than the plain one on the same address.
constexpr std::string_view kSubresources[] = {"accelerate",
                                              "acl",
                                              "analytics",
                                              "append",
                                              "attributes",
                                              "cors",
                                              "delete",
                                              "encryption",
                                              "intelligent-tiering",
                                              "inventory",
                                              "legal-hold",
                                              "lifecycle",
                                              "location",
                                              "logging",
                                              "metadataTable",
                                              "metadataConfiguration",
                                              "metrics",
                                              "notification",
                                              "object-lock",
                                              "ownershipControls",
                                              "partNumber",
                                              "policy",
                                              "policyStatus",
                                              "publicAccessBlock",
                                              "renameObject",
                                              "replication",
                                              "requestPayment",
                                              "restore",
                                              "retention",
                                              "select",
                                              "session",
                                              "tagging",
                                              "torrent",
                                              "uploadId",
                                              "uploads",
                                              "versioning",
                                              "versions",
                                              "website"};

// The bucket of a virtual-host style name; "" for the bare service or any other host.
std::string BucketOfHost(std::string_view host) {
  constexpr std::string_view kSuffix = ".amazonaws.com";
  if (!host.ends_with(kSuffix)) return {};
  host.remove_suffix(kSuffix.size());
  std::vector<std::string_view> labels = Split(host, '.');
  size_t count = labels.size();
  size_t service = count;
  if (labels[count - 1] == "s3" || labels[count - 1].starts_with("s3-")) {
    service = count - 1;
  } else if (count >= 2 && labels[count - 2] == "s3") {
    service = count - 2;
  } else if (count >= 3 && labels[count - 3] == "s3" && labels[count - 2] == "dualstack") {
    service = count - 3;
  }
  if (service == count || service == 0) return {};
  size_t tail = static_cast<size_t>(labels[service].data() - host.data());
  return std::string(host.substr(0, tail - 1));
}

std::string WithoutAwsChunked(std::string_view encoding) {
  std::string kept;
  for (std::string_view part : Split(encoding, ',')) {
    part = Trim(part);
    if (part.empty() || EqualsIgnoreCase(part, "aws-chunked")) continue;
    kept.append(kept.empty() ? "" : ",").append(part);
  }
  return kept;
}

bool AnyEtagMatches(std::string_view list, const std::string& etag) {
  return std::ranges::any_of(Split(list, ','), [&etag](std::string_view one) {
    one = Trim(one);
    return one == "*" || objstore::BareEtag(one) == etag;
  });
}

std::optional<uint64_t> ParseUnsigned(std::string_view text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

Result<Call> ParseCall(http::Request& request, const CallContext& context) {
  Call call{request, context, BucketOfHost(request.host), ""};
  std::string_view path = request.path;
  if (path.starts_with('/')) path.remove_prefix(1);
  auto decode = [](std::string_view text) -> Result<std::string> {
    std::optional<std::string> decoded = UriDecode(text);
    if (!decoded)
      return Fail(InvalidArgument("Couldn't parse the specified URI: its escapes are broken.", "InvalidURI"));
    return *std::move(decoded);
  };
  if (call.bucket.empty()) {
    size_t slash = path.find('/');
    TRY(call.bucket, decode(path.substr(0, slash)));
    path = slash == path.npos ? std::string_view() : path.substr(slash + 1);
  }
  TRY(call.key, decode(path));
  return call;
}

std::string_view UnsupportedSubresource(const Call& call, std::initializer_list<std::string_view> served) {
  for (const auto& [name, value] : call.request.query) {
    if (name == "versionId" && value != "null") return "versionId";
    auto known = std::ranges::find(kSubresources, name);
    if (known != std::end(kSubresources) && std::ranges::find(served, name) == served.end()) return *known;
  }
  return {};
}

Result<void> RefuseUnsupportedHeaders(const Call& call) {
  constexpr std::string_view kRefused[] = {"x-amz-server-side-encryption-customer-",
                                           "x-amz-copy-source-server-side-encryption-customer-", "x-amz-object-lock-",
                                           "x-amz-website-redirect-location", "x-amz-write-offset-bytes"};
  for (const auto& [name, value] : call.request.headers) {
    std::string lower = ToLower(name);
    for (std::string_view refused : kRefused) {
      if (lower.starts_with(refused)) {
        return Fail(Error(ErrorKind::kUnsupported,
                          "A header you provided implies functionality that is not implemented: " + lower + ".",
                          "NotImplemented"));
      }
    }
  }
  return {};
}

Result<objstore::PutOptions> ParsePutOptions(const Call& call) {
  TRYV(RefuseUnsupportedHeaders(call));
  objstore::PutOptions options;
  options.content_type =
      call.request.headers.Has("Content-Type") ? std::string(call.Header("Content-Type")) : "binary/octet-stream";
  for (std::string_view name : kStoredHeaders) {
    if (const std::string* value = call.request.headers.Find(name)) options.headers[std::string(name)] = *value;
  }
  std::string encoding = WithoutAwsChunked(call.Header("Content-Encoding"));
  if (!encoding.empty()) options.headers["Content-Encoding"] = encoding;
  constexpr std::string_view kMeta = "x-amz-meta-";
  size_t metadata_bytes = 0;
  for (const auto& [name, value] : call.request.headers) {
    std::string lower = ToLower(name);
    if (!lower.starts_with(kMeta)) continue;
    std::string& stored = options.metadata[lower.substr(kMeta.size())];
    stored += (stored.empty() ? "" : ",") + value;
    metadata_bytes += lower.size() - kMeta.size() + value.size();
  }
  if (metadata_bytes > kMostMetadata) {
    return Fail(InvalidArgument("Your metadata headers exceed the maximum allowed metadata size of 2048 bytes.",
                                "MetadataTooLarge"));
  }
  options.content_md5 = call.Header("Content-MD5");
  if (call.request.headers.Has("Content-MD5") && options.content_md5.empty()) {
    return Fail(InvalidArgument("The Content-MD5 you specified is not valid: it is empty.", "InvalidDigest"));
  }
  options.if_match = call.Header("If-Match");
  options.if_none_match = call.Header("If-None-Match");
  return options;
}

std::string ChecksumHeader(std::string_view algorithm) { return "x-amz-checksum-" + ToLower(algorithm); }
std::string ChecksumElement(std::string_view algorithm) { return "Checksum" + std::string(algorithm); }

Result<objstore::ChecksumRequest> ParseChecksum(const Call& call) {
  objstore::ChecksumRequest checksum;
  std::string trailers = ToLower(call.Header("x-amz-trailer"));
  for (std::string_view algorithm : kAlgorithms) {
    std::string header = ChecksumHeader(algorithm);
    const std::string* value = call.request.headers.Find(header);
    bool in_trailer = std::ranges::any_of(Split(trailers, ','), [&](auto name) { return Trim(name) == header; });
    if (value == nullptr && !in_trailer) continue;
    if (!checksum.algorithm.empty()) {
      return Fail(InvalidArgument("Expecting a single x-amz-checksum- header. Multiple checksum types are not allowed.",
                                  "InvalidRequest"));
    }
    checksum.algorithm = algorithm;
    if (value != nullptr) {
      if (value->empty()) return Fail(InvalidArgument("Value for " + header + " header is invalid.", "InvalidRequest"));
      checksum.expected = *value;
    }
  }
  std::string_view stated = call.Header("x-amz-sdk-checksum-algorithm");
  if (stated.empty()) return checksum;
  if (checksum.algorithm.empty()) {
    return Fail(
        InvalidArgument("x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
                        "x-amz-trailer headers were found.",
                        "InvalidRequest"));
  }
  if (!EqualsIgnoreCase(stated, checksum.algorithm)) {
    return Fail(InvalidArgument(
        "Value for x-amz-sdk-checksum-algorithm header is invalid: the checksum sent is " + checksum.algorithm + ".",
        "InvalidRequest"));
  }
  return checksum;
}

std::optional<int64_t> ParseHttpDate(std::string_view text) {
  std::string copy(Trim(text));
  for (const char* format : {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"}) {
    struct tm parts{};
    const char* end = ::strptime(copy.c_str(), format, &parts);
    if (end != nullptr && *end == '\0') return static_cast<int64_t>(::timegm(&parts));
  }
  return std::nullopt;
}

Condition CheckConditions(const Call& call, std::string_view prefix, const objstore::ObjectInfo& info) {
  auto header = [&](std::string_view name) {
    return call.request.headers.Find(std::string(prefix) + std::string(name));
  };
  int64_t modified = info.modified_ms / 1000;  // HTTP dates have no fractions
  if (const std::string* match = header("if-match")) {
    if (!AnyEtagMatches(*match, info.etag)) return Condition::kFailed;
  } else if (const std::string* since = header("if-unmodified-since")) {
    std::optional<int64_t> date = ParseHttpDate(*since);
    if (date && modified > *date) return Condition::kFailed;
  }
  if (const std::string* none = header("if-none-match")) {
    if (AnyEtagMatches(*none, info.etag)) return Condition::kNotModified;
  } else if (const std::string* since = header("if-modified-since")) {
    std::optional<int64_t> date = ParseHttpDate(*since);
    if (date && modified <= *date) return Condition::kNotModified;
  }
  return Condition::kProceed;
}

Result<std::optional<ByteRange>> ParseRange(std::string_view header, uint64_t size) {
  constexpr std::string_view kUnit = "bytes=";
  const std::optional<ByteRange> whole;
  if (!header.starts_with(kUnit)) return whole;
  std::string_view spec = Trim(header.substr(kUnit.size()));
  size_t dash = spec.find('-');
  if (dash == spec.npos) return whole;
  auto unsatisfiable = [] { return Fail(InvalidArgument("The requested range is not satisfiable.", "InvalidRange")); };
  std::string_view first_text = spec.substr(0, dash), last_text = spec.substr(dash + 1);
  std::optional<uint64_t> first = ParseUnsigned(first_text), last = ParseUnsigned(last_text);
  if (first_text.empty()) {
    if (!last) return whole;
    if (*last == 0 || size == 0) return unsatisfiable();
    uint64_t length = std::min(*last, size);
    return std::optional(ByteRange{size - length, length});
  }
  if (!first || (!last_text.empty() && (!last || *last < *first))) return whole;
  if (*first >= size) return unsatisfiable();
  uint64_t end = last ? std::min(*last, size - 1) : size - 1;
  return std::optional(ByteRange{*first, end - *first + 1});
}

Result<ByteRange> ParseCopyRange(std::string_view header, uint64_t size) {
  if (header.empty()) return ByteRange{0, size};
  TRY(std::optional<ByteRange> range, ParseRange(header, size));
  size_t dash = header.rfind('-');
  std::optional<uint64_t> last = dash == header.npos ? std::nullopt : ParseUnsigned(header.substr(dash + 1));
  if (!range || !last || header.starts_with("bytes=-")) {
    return Fail(
        InvalidArgument("The x-amz-copy-source-range value must be of the form bytes=first-last where first and "
                        "last are the zero-based offsets of the first and last bytes to copy.",
                        "InvalidArgument"));
  }
  if (*last >= size) {
    return Fail(InvalidArgument("Range specified is not valid for source object of size: " + std::to_string(size),
                                "InvalidArgument"));
  }
  return *range;
}

Result<ObjectName> ParseCopySource(std::string_view header) {
  auto invalid = [](std::string_view why) {
    return Fail(
        InvalidArgument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey" + std::string(why),
                        "InvalidArgument"));
  };
  size_t question = header.find("?versionId=");
  if (question != header.npos && header.substr(question + 11) != "null") {
    return Fail(Error(ErrorKind::kUnsupported, "A version in x-amz-copy-source is not implemented: objects have none.",
                      "NotImplemented"));
  }
  std::optional<std::string> decoded = UriDecode(header.substr(0, question));
  if (!decoded) return invalid(", URL-encoded.");
  std::string_view source = *decoded;
  if (source.starts_with('/')) source.remove_prefix(1);
  size_t slash = source.find('/');
  if (slash == source.npos || slash == 0 || slash + 1 == source.size()) return invalid(".");
  return ObjectName{std::string(source.substr(0, slash)), std::string(source.substr(slash + 1))};
}

Result<int64_t> ParseCount(const Call& call, std::string_view name, int64_t most) {
  const std::string* text = call.request.QueryValue(name);
  if (text == nullptr || text->empty()) return most;
  std::optional<int64_t> value = ParseInt(*text);
  if (!value || *value > INT32_MAX) {
    return Fail(InvalidArgument("Argument " + std::string(name) + " must be an integer between 0 and 2147483647",
                                "InvalidArgument"));
  }
  return std::min(*value, most);
}

Result<bool> WantsUrlEncoding(const Call& call) {
  std::string type = call.Query("encoding-type");
  if (!type.empty() && type != "url") {
    return Fail(InvalidArgument("Invalid Encoding Method specified in Request: only 'url' exists.", "InvalidArgument"));
  }
  return !type.empty();
}

http::Response XmlResponse(int status, std::string body) {
  http::Response response;
  response.status = status;
  response.headers.Add("Content-Type", "application/xml");
  response.body = std::move(body);
  return response;
}

std::string Quoted(std::string_view etag) { return '"' + std::string(etag) + '"'; }

}  // namespace sagebrush::api::s3
