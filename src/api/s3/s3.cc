#include "api/s3/s3.h"

#include "base/log.h"
#include "wire/errors.h"

namespace sagebrush::api {
namespace {

Error MethodNotAllowed(const http::Request& request) {
  return InvalidArgument("The specified method " + request.method + " is not allowed against this resource.",
                         "MethodNotAllowed");
}

Result<void> RefuseSubresources(const s3::Call& call, std::initializer_list<std::string_view> served) {
  std::string_view name = s3::UnsupportedSubresource(call, served);
  if (name.empty()) return {};
  return Fail(Error(ErrorKind::kUnsupported,
                    "The subresource or parameter '" + std::string(name) + "' of " + call.request.method +
                        " is not implemented by Sagebrush's object store.",
                    "NotImplemented"));
}

}  // namespace

http::Response S3Service::ErrorReply(const Error& error, const http::Request& request) const {
  wire::WireError wire_error = wire::ToWireError(error, wire::ErrorStyle::kS3);
  if (wire_error.status >= 500 && wire_error.status != 501) {
    Log(LogLevel::kError, "s3_request_failed",
        {{"request_id", request.request_id}, {"path", request.path}, {"error", error.message}});
  }
  http::Response response;
  response.status = wire_error.status;
  if (request.method == "HEAD" || wire_error.status == 304) return response;
  response.headers.Add("Content-Type", std::string(wire::ErrorContentType(wire::ErrorStyle::kS3)));
  response.body = wire::ErrorBody(wire_error, wire::ErrorStyle::kS3, request.request_id, request.path);
  return response;
}

http::asio::awaitable<http::Response> S3Service::Handle(http::Request& request, const CallContext& context) {
  http::Response response;
  Result<Call> call = s3::ParseCall(request, context);
  if (!call) {
    response = ErrorReply(call.error(), request);
  } else {
    Result<http::Response> reply = co_await Route(*call);
    response = reply ? std::move(*reply) : ErrorReply(reply.error(), request);
  }
  response.headers.Set("x-amz-request-id", request.request_id);
  co_return response;
}

Result<void> S3Service::CheckOwner(const Call& call) const {
  for (std::string_view name : {"x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"}) {
    const std::string* owner = call.request.headers.Find(name);
    if (owner != nullptr && *owner != installation_.account) {
      return Fail(Error(ErrorKind::kPermissionDenied,
                        "Access Denied: " + std::string(name) + " is " + *owner +
                            ", but every bucket here belongs to " + installation_.account + ".",
                        "AccessDenied"));
    }
  }
  return {};
}

S3Service::Reply S3Service::Route(Call& call) {
  CO_TRYV(CheckOwner(call));
  if (call.bucket.empty()) {
    if (!call.key.empty()) co_return Fail(InvalidArgument("The path names no bucket.", "InvalidURI"));
    CO_TRYV(RefuseSubresources(call, {}));
    if (call.request.method == "GET") co_return co_await ListBuckets(call);
    co_return Fail(MethodNotAllowed(call.request));
  }
  if (call.key.empty()) co_return co_await RouteBucket(call);
  co_return co_await RouteObject(call);
}

S3Service::Reply S3Service::RouteBucket(Call& call) {
  const http::Request& request = call.request;
  if (request.method == "GET") {
    CO_TRYV(RefuseSubresources(call, {"location", "uploads"}));
    if (request.HasQuery("location")) co_return co_await GetBucketLocation(call);
    if (request.HasQuery("uploads")) co_return co_await ListMultipartUploads(call);
    co_return co_await ListObjects(call);
  }
  if (request.method == "POST") {
    CO_TRYV(RefuseSubresources(call, {"delete"}));
    if (request.HasQuery("delete")) co_return co_await DeleteObjects(call);
    co_return Fail(Error(ErrorKind::kUnsupported, "Browser form uploads (POST to a bucket) are not implemented.",
                         "NotImplemented"));
  }
  CO_TRYV(RefuseSubresources(call, {}));
  if (request.method == "PUT") co_return co_await CreateBucket(call);
  if (request.method == "HEAD") co_return co_await HeadBucket(call);
  if (request.method == "DELETE") co_return co_await DeleteBucket(call);
  co_return Fail(MethodNotAllowed(request));
}

S3Service::Reply S3Service::RouteObject(Call& call) {
  const http::Request& request = call.request;
  bool upload = request.HasQuery("uploadId");
  if (request.method == "GET") {
    CO_TRYV(RefuseSubresources(call, {"uploadId"}));
    if (upload) co_return co_await ListParts(call);
    co_return co_await GetObject(call);
  }
  if (request.method == "PUT") {
    CO_TRYV(RefuseSubresources(call, {"uploadId", "partNumber"}));
    if (upload || request.HasQuery("partNumber")) co_return co_await UploadPart(call);
    if (request.headers.Has("x-amz-copy-source")) co_return co_await CopyObject(call);
    co_return co_await PutObject(call);
  }
  if (request.method == "POST") {
    CO_TRYV(RefuseSubresources(call, {"uploads", "uploadId"}));
    if (request.HasQuery("uploads")) co_return co_await CreateMultipartUpload(call);
    if (upload) co_return co_await CompleteMultipartUpload(call);
    co_return Fail(MethodNotAllowed(request));
  }
  if (request.method == "DELETE") {
    CO_TRYV(RefuseSubresources(call, {"uploadId"}));
    if (upload) co_return co_await AbortMultipartUpload(call);
    co_return co_await DeleteObject(call);
  }
  CO_TRYV(RefuseSubresources(call, {}));
  if (request.method == "HEAD") co_return co_await HeadObject(call);
  co_return Fail(MethodNotAllowed(request));
}

}  // namespace sagebrush::api
