#include "api/s3/s3.h"
#include "api/s3/s3_body.h"
#include "base/text.h"
#include "wire/xml_writer.h"

namespace sagebrush::api {
namespace {

constexpr std::string_view kOverrides[][2] = {{"response-content-type", "Content-Type"},
                                              {"response-content-language", "Content-Language"},
                                              {"response-expires", "Expires"},
                                              {"response-cache-control", "Cache-Control"},
                                              {"response-content-disposition", "Content-Disposition"},
                                              {"response-content-encoding", "Content-Encoding"}};

Error PreconditionFailed() {
  return Error(ErrorKind::kFailedPrecondition, "At least one of the pre-conditions you specified did not hold.",
               "PreconditionFailed");
}

void AddChecksum(http::Response& response, const objstore::ObjectInfo& info) {
  if (info.checksum.empty()) return;
  response.headers.Add(s3::ChecksumHeader(info.checksum_algorithm), info.checksum);
  bool composite = info.checksum.find('-') != std::string::npos;
  response.headers.Add("x-amz-checksum-type", composite ? "COMPOSITE" : "FULL_OBJECT");
}

Result<void> AddOverrides(http::Response& response, const s3::Call& call) {
  for (const auto& [parameter, header] : kOverrides) {
    const std::string* value = call.request.QueryValue(parameter);
    if (value == nullptr) continue;
    if (value->find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) {
      return Fail(
          InvalidArgument("The value of " + std::string(parameter) + " cannot be a header.", "InvalidArgument"));
    }
    response.headers.Set(header, *value);
  }
  return {};
}

// Status and headers of a GET or HEAD: conditions, range, everything that describes the object. `part` is what of the
// object the body holds.
Result<http::Response> Describe(const s3::Call& call, const objstore::ObjectInfo& info, s3::ByteRange& part) {
  http::Response response;
  response.headers.Add("ETag", s3::Quoted(info.etag));
  response.headers.Add("Last-Modified", FormatHttpDate(info.modified_ms));
  s3::Condition condition = s3::CheckConditions(call, "", info);
  if (condition == s3::Condition::kFailed) return Fail(PreconditionFailed());
  part = {0, 0};
  if (condition == s3::Condition::kNotModified) {
    response.status = 304;
    return response;
  }
  std::string_view if_range = call.Header("If-Range");
  bool range_holds = if_range.empty() || if_range == s3::Quoted(info.etag) ||
                     s3::ParseHttpDate(if_range) == std::optional<int64_t>(info.modified_ms / 1000);
  TRY(std::optional<s3::ByteRange> range, s3::ParseRange(range_holds ? call.Header("Range") : "", info.size));
  part = range.value_or(s3::ByteRange{0, info.size});
  response.headers.Add("Accept-Ranges", "bytes");
  response.headers.Add("Content-Type", info.content_type);
  for (const auto& [name, value] : info.headers) response.headers.Add(name, value);
  for (const auto& [name, value] : info.metadata) response.headers.Add("x-amz-meta-" + name, value);
  if (range) {
    response.status = 206;
    response.headers.Add("Content-Range", "bytes " + std::to_string(part.offset) + "-" +
                                              std::to_string(part.offset + part.length - 1) + "/" +
                                              std::to_string(info.size));
  } else if (EqualsIgnoreCase(call.Header("x-amz-checksum-mode"), "ENABLED")) {
    AddChecksum(response, info);
  }
  TRYV(AddOverrides(response, call));
  return response;
}

// REPLACE or COPY (the default); InvalidArgument for anything else.
Result<bool> WantsReplacement(const s3::Call& call, std::string_view header) {
  std::string_view directive = call.Header(header);
  if (directive.empty() || directive == "COPY") return false;
  if (directive == "REPLACE") return true;
  return Fail(InvalidArgument("Unknown " + std::string(header) + ": it is COPY or REPLACE.", "InvalidArgument"));
}

}  // namespace

S3Service::Reply S3Service::GetObject(Call& call) {
  CO_TRYV(s3::RefuseUnsupportedHeaders(call));
  CO_TRY(objstore::ObjectContent content, co_await OnPool([&] { return store_.Get(call.bucket, call.key); }));
  s3::ByteRange part;
  CO_TRY(http::Response response, Describe(call, content.info, part));
  if (response.status == 304) co_return response;
  if (content.file) {
    response.body = http::FileBody{std::move(content.file), part.offset, part.length};
  } else if (part.length == content.inline_bytes.size()) {
    response.body = std::move(content.inline_bytes);
  } else {
    response.body = content.inline_bytes.substr(part.offset, part.length);
  }
  co_return response;
}

S3Service::Reply S3Service::HeadObject(Call& call) {
  CO_TRYV(s3::RefuseUnsupportedHeaders(call));
  CO_TRY(objstore::ObjectInfo info, co_await OnPool([&] { return store_.Head(call.bucket, call.key); }));
  s3::ByteRange part;
  CO_TRY(http::Response response, Describe(call, info, part));
  if (response.status != 304) response.head_length = part.length;
  co_return response;
}

S3Service::Reply S3Service::PutObject(Call& call) {
  CO_TRY(objstore::PutOptions options, s3::ParsePutOptions(call));
  CO_TRY(s3::UploadBody body, s3::UploadBody::Create(call));
  options.checksum = body.checksum();
  CO_TRY(auto writer, co_await OnPool([&] { return store_.Put(call.bucket, call.key, std::move(options)); }));
  CO_TRYV(co_await body.CopyTo(runtime_, *writer));
  CO_TRY(objstore::ObjectInfo info, co_await OnPool([&] { return writer->Commit(); }));
  http::Response response;
  response.headers.Add("ETag", s3::Quoted(info.etag));
  AddChecksum(response, info);
  co_return response;
}

http::asio::awaitable<Result<objstore::ObjectInfo>> S3Service::HeadCopySource(Call& call, s3::ObjectName source) {
  CO_TRY(objstore::ObjectInfo info, co_await OnPool([&] { return store_.Head(source.bucket, source.key); }));
  if (s3::CheckConditions(call, "x-amz-copy-source-", info) != s3::Condition::kProceed) {
    co_return Fail(PreconditionFailed());
  }
  co_return info;
}

S3Service::Reply S3Service::CopyObject(Call& call) {
  CO_TRY(s3::ObjectName source, s3::ParseCopySource(call.Header("x-amz-copy-source")));
  CO_TRY(bool replace, WantsReplacement(call, "x-amz-metadata-directive"));
  CO_TRYV(WantsReplacement(call, "x-amz-tagging-directive"));
  CO_TRY(objstore::PutOptions options, s3::ParsePutOptions(call));
  CO_TRY(objstore::ObjectInfo info, co_await HeadCopySource(call, source));
  std::string_view algorithm = call.Header("x-amz-checksum-algorithm");
  if (!algorithm.empty() && algorithm != info.checksum_algorithm) {
    co_return Fail(Error(ErrorKind::kUnsupported,
                         "x-amz-checksum-algorithm of a copy is not implemented where the source has another checksum.",
                         "NotImplemented"));
  }
  if (!replace && source.bucket == call.bucket && source.key == call.key) {
    co_return Fail(InvalidArgument(
        "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
        "metadata, storage class, website redirect location or encryption attributes.",
        "InvalidRequest"));
  }
  if (!replace) {
    options.content_type = info.content_type;
    options.headers = info.headers;
    options.metadata = info.metadata;
  }
  // Without a replacement the store copies headers of the same moment as the bytes.
  bool plain = !replace && options.if_match.empty() && options.if_none_match.empty();
  std::optional<objstore::PutOptions> replacement;
  if (!plain) replacement = std::move(options);
  CO_TRY(objstore::ObjectInfo copied, co_await OnPool([&] {
           return store_.Copy(source.bucket, source.key, call.bucket, call.key, std::move(replacement));
         }));
  wire::XmlWriter xml("CopyObjectResult", s3::kXmlns);
  xml.Text("LastModified", FormatIso8601(copied.modified_ms)).Text("ETag", s3::Quoted(copied.etag));
  if (!copied.checksum.empty()) xml.Text(s3::ChecksumElement(copied.checksum_algorithm), copied.checksum);
  co_return s3::XmlResponse(200, xml.Finish());
}

S3Service::Reply S3Service::DeleteObject(Call& call) {
  for (std::string_view name : {"If-Match", "x-amz-if-match-last-modified-time", "x-amz-if-match-size", "x-amz-mfa"}) {
    if (call.request.headers.Has(name)) {
      co_return Fail(Error(ErrorKind::kUnsupported,
                           "The header " + std::string(name) + " of a delete is not implemented.", "NotImplemented"));
    }
  }
  CO_TRYV(co_await OnPool([&] { return store_.Delete(call.bucket, call.key); }));
  http::Response response;
  response.status = 204;
  co_return response;
}

}  // namespace sagebrush::api
