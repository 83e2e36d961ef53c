#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>

#include "api/call_context.h"
#include "api/s3/s3_request.h"
#include "http/message.h"
#include "io/runtime.h"
#include "objstore/object_store.h"

namespace sagebrush::api {

// Amazon S3's REST interface (API version 2006-03-01) over the object store: buckets, objects, listings and multipart
// uploads, by path or by host name. Bodies stream in pieces of at most a megabyte; every store call runs on the
// blocking pool. Stateless and thread-safe. What is not here is refused with NotImplemented and its name, never
// ignored, save encryption, ACL, tag and storage-class headers of a write (docs/compatibility.md).
class S3Service {
 public:
  // All three outlive the service.
  S3Service(io::Runtime& runtime, objstore::ObjectStore& store, Installation installation)
      : runtime_(runtime), store_(store), installation_(std::move(installation)) {}

  // The whole reply, errors included. `request` and `context` live until it is done.
  http::asio::awaitable<http::Response> Handle(http::Request& request, const CallContext& context);

 private:
  using Call = s3::Call;
  using Reply = http::asio::awaitable<Result<http::Response>>;

  Reply Route(Call& call);
  Reply RouteBucket(Call& call);
  Reply RouteObject(Call& call);
  // expected-bucket-owner headers must name this installation's account.
  Result<void> CheckOwner(const Call& call) const;
  http::Response ErrorReply(const Error& error, const http::Request& request) const;

  // s3_buckets.cc
  Reply ListBuckets(Call& call);
  Reply CreateBucket(Call& call);
  Reply HeadBucket(Call& call);
  Reply DeleteBucket(Call& call);
  Reply GetBucketLocation(Call& call);
  Reply DeleteObjects(Call& call);
  // s3_objects.cc
  Reply GetObject(Call& call);
  Reply HeadObject(Call& call);
  Reply PutObject(Call& call);
  Reply CopyObject(Call& call);
  Reply DeleteObject(Call& call);
  // The object that x-amz-copy-source names, when its conditions hold.
  http::asio::awaitable<Result<objstore::ObjectInfo>> HeadCopySource(Call& call, s3::ObjectName source);
  // s3_listing.cc
  Reply ListObjects(Call& call);
  // s3_multipart.cc
  Reply CreateMultipartUpload(Call& call);
  Reply UploadPart(Call& call);
  Reply UploadPartCopy(Call& call, std::string upload_id, int number);
  Reply CompleteMultipartUpload(Call& call);
  Reply AbortMultipartUpload(Call& call);
  Reply ListParts(Call& call);
  Reply ListMultipartUploads(Call& call);

  // co_await OnPool(f): f() on the blocking pool. f may refer to the awaiting frame.
  template <class F>
  http::asio::awaitable<std::invoke_result_t<F&>> OnPool(F function) {
    return io::OnBlockingPool(runtime_, std::move(function));
  }

  io::Runtime& runtime_;
  objstore::ObjectStore& store_;
  const Installation installation_;
};

}  // namespace sagebrush::api
