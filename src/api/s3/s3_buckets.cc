#include "api/s3/s3.h"
#include "api/s3/s3_body.h"
#include "api/s3/s3_xml.h"
#include "base/text.h"
#include "objstore/names.h"
#include "wire/errors.h"
#include "wire/xml_writer.h"

namespace sagebrush::api {
namespace {

constexpr size_t kMostBucketXml = 64 * 1024;
constexpr size_t kMostDeleteXml = 8 << 20;  // 1000 keys of 1024 bytes, each byte escaped
constexpr size_t kMostDeletes = 1000;
constexpr int64_t kMostBuckets = 10'000;

struct DeleteRequest {
  std::vector<std::string> keys;
  bool quiet = false;
};

Result<DeleteRequest> ParseDelete(std::string_view body) {
  pugi::xml_document document;
  TRY(pugi::xml_node root, s3::ParseXml(document, body, "Delete"));
  DeleteRequest request;
  for (const pugi::xml_node& child : root.children()) {
    std::string_view name = child.name();
    if (name == "Quiet") {
      request.quiet = EqualsIgnoreCase(Trim(child.text().get()), "true");
    } else if (name == "Object") {
      for (const pugi::xml_node& field : child.children()) {
        std::string_view what = field.name();
        bool null_version = what == "VersionId" && std::string_view(field.text().get()) == "null";
        if (what != "Key" && field.type() == pugi::node_element && !null_version) {
          return Fail(Error(ErrorKind::kUnsupported,
                            "The element '" + std::string(what) + "' of an object to delete is not implemented.",
                            "NotImplemented"));
        }
      }
      std::string_view key = s3::ChildText(child, "Key");
      if (key.empty()) return Fail(s3::MalformedXml("an Object has no Key"));
      request.keys.emplace_back(key);
    }
  }
  if (request.keys.empty() || request.keys.size() > kMostDeletes) {
    return Fail(s3::MalformedXml("a request deletes 1 to 1000 objects"));
  }
  return request;
}

}  // namespace

S3Service::Reply S3Service::ListBuckets(Call& call) {
  CO_TRY(int64_t most, s3::ParseCount(call, "max-buckets", kMostBuckets));
  std::string prefix = call.Query("prefix");
  std::string token = call.Query("continuation-token");
  std::string after = Base64Decode(token).value_or("");
  if (!token.empty() && after.empty()) {
    co_return Fail(InvalidArgument("The continuation token provided is incorrect", "InvalidArgument"));
  }
  CO_TRY(auto buckets, co_await OnPool([this] { return store_.ListBuckets(); }));
  wire::XmlWriter xml("ListAllMyBucketsResult", s3::kXmlns);
  xml.Open("Owner").Text("ID", installation_.account).Text("DisplayName", "sagebrush").Close();
  xml.Open("Buckets");
  std::string last;
  int64_t count = 0;
  bool truncated = false;
  for (const objstore::BucketInfo& bucket : buckets) {
    if (!bucket.name.starts_with(prefix) || bucket.name <= after) continue;
    truncated = count == most;
    if (truncated) break;
    xml.Open("Bucket").Text("Name", bucket.name).Text("CreationDate", FormatIso8601(bucket.created_ms));
    xml.Text("BucketRegion", installation_.region).Close();
    last = bucket.name;
    ++count;
  }
  xml.Close();
  if (!prefix.empty()) xml.Text("Prefix", prefix);
  if (truncated && !last.empty()) xml.Text("ContinuationToken", Base64Encode(last));
  co_return s3::XmlResponse(200, xml.Finish());
}

S3Service::Reply S3Service::CreateBucket(Call& call) {
  CO_TRYV(objstore::ValidateBucketName(call.bucket));
  CO_TRYV(s3::RefuseUnsupportedHeaders(call));
  if (EqualsIgnoreCase(call.Header("x-amz-bucket-object-lock-enabled"), "true")) {
    co_return Fail(
        Error(ErrorKind::kUnsupported, "x-amz-bucket-object-lock-enabled is not implemented.", "NotImplemented"));
  }
  CO_TRY(s3::UploadBody upload, s3::UploadBody::Create(call));
  CO_TRY(std::string body, co_await upload.ReadWhole(runtime_, kMostBucketXml));
  if (!Trim(body).empty()) {
    pugi::xml_document document;
    CO_TRY(pugi::xml_node root, s3::ParseXml(document, body, "CreateBucketConfiguration"));
    std::string_view region = Trim(s3::ChildText(root, "LocationConstraint"));
    // There is one place; a client of another region may name its own.
    if (!region.empty() && region != installation_.region && region != call.context.caller.region) {
      co_return Fail(InvalidArgument("The " + std::string(region) +
                                         " location constraint is incompatible for the region "
                                         "this request was sent to: buckets here are in " +
                                         installation_.region + ".",
                                     "IllegalLocationConstraintException"));
    }
  }
  CO_TRYV(co_await OnPool([this, &call] { return store_.CreateBucket(call.bucket); }));
  http::Response response;
  response.headers.Add("Location", "/" + call.bucket);
  co_return response;
}

S3Service::Reply S3Service::HeadBucket(Call& call) {
  CO_TRYV(co_await OnPool([this, &call] { return store_.HeadBucket(call.bucket); }));
  http::Response response;
  response.headers.Add("x-amz-bucket-region", installation_.region);
  response.headers.Add("Content-Type", "application/xml");
  co_return response;
}

S3Service::Reply S3Service::DeleteBucket(Call& call) {
  CO_TRYV(co_await OnPool([this, &call] { return store_.DeleteBucket(call.bucket); }));
  http::Response response;
  response.status = 204;
  co_return response;
}

S3Service::Reply S3Service::GetBucketLocation(Call& call) {
  CO_TRYV(co_await OnPool([this, &call] { return store_.HeadBucket(call.bucket); }));
  wire::XmlWriter xml("LocationConstraint", s3::kXmlns);
  // S3's first region is the empty constraint.
  if (installation_.region != "us-east-1") xml.Content(installation_.region);
  co_return s3::XmlResponse(200, xml.Finish());
}

S3Service::Reply S3Service::DeleteObjects(Call& call) {
  CO_TRY(s3::UploadBody upload, s3::UploadBody::Create(call));
  CO_TRY(std::string body, co_await upload.ReadWhole(runtime_, kMostDeleteXml));
  CO_TRY(DeleteRequest request, ParseDelete(body));
  CO_TRYV(co_await OnPool([&] { return store_.DeleteMany(call.bucket, request.keys); }));
  wire::XmlWriter xml("DeleteResult", s3::kXmlns);
  if (!request.quiet) {
    for (const std::string& key : request.keys) xml.Open("Deleted").Text("Key", key).Close();
  }
  co_return s3::XmlResponse(200, xml.Finish());
}

}  // namespace sagebrush::api
