#include <algorithm>

#include "api/s3/s3.h"
#include "api/s3/s3_body.h"
#include "api/s3/s3_xml.h"
#include "base/text.h"
#include "objstore/writer.h"
#include "wire/xml_writer.h"

namespace sagebrush::api {
namespace {

constexpr size_t kMostCompleteXml = 8 << 20;  // 10,000 parts with every checksum
constexpr int64_t kMostListed = 1000;
constexpr uint64_t kCopyPiece = 1 << 20;

Result<std::vector<objstore::CompletedPart>> ParseComplete(std::string_view body) {
  pugi::xml_document document;
  TRY(pugi::xml_node root, s3::ParseXml(document, body, "CompleteMultipartUpload"));
  std::vector<objstore::CompletedPart> parts;
  for (const pugi::xml_node& child : root.children("Part")) {
    objstore::CompletedPart part;
    for (const pugi::xml_node& field : child.children()) {
      std::string_view name = field.name();
      std::string_view text = Trim(field.text().get());
      if (name == "PartNumber") {
        part.number = static_cast<int>(std::min<int64_t>(ParseInt(text).value_or(0), INT32_MAX));
      } else if (name == "ETag") {
        part.etag = text;
      } else if (name.starts_with("Checksum")) {
        part.checksum = text;
      } else if (field.type() == pugi::node_element) {
        return Fail(s3::MalformedXml("a Part has the unknown element '" + std::string(name).substr(0, 100) + "'"));
      }
    }
    if (part.number < 1 || part.etag.empty()) return Fail(s3::MalformedXml("a Part needs a PartNumber and an ETag"));
    parts.push_back(std::move(part));
  }
  if (parts.empty() || parts.size() > static_cast<size_t>(objstore::kMostParts)) {
    return Fail(s3::MalformedXml("an upload is completed with 1 to 10000 parts"));
  }
  return parts;
}

// "FULL_OBJECT" or "COMPOSITE" from x-amz-checksum-type.
Result<bool> WantsFullObject(const s3::Call& call) {
  std::string_view type = call.Header("x-amz-checksum-type");
  if (type.empty() || type == "COMPOSITE") return false;
  if (type == "FULL_OBJECT") return true;
  return Fail(InvalidArgument("Value for x-amz-checksum-type header is invalid.", "InvalidRequest"));
}

// Appends the range of the source to the part, piece by piece.
Result<void> CopyRange(const objstore::ObjectContent& source, s3::ByteRange range, objstore::ObjectWriter& writer) {
  if (!source.file) return writer.Append(std::string_view(source.inline_bytes).substr(range.offset, range.length));
  while (range.length > 0) {
    TRY(std::string piece,
        io::ReadAt(source.file.get(), range.offset, static_cast<size_t>(std::min(range.length, kCopyPiece))));
    if (piece.empty()) return Fail(Error(ErrorKind::kDataLoss, "A stored content is shorter than its recorded size."));
    TRYV(writer.Append(piece));
    range.offset += piece.size();
    range.length -= piece.size();
  }
  return {};
}

}  // namespace

S3Service::Reply S3Service::CreateMultipartUpload(Call& call) {
  CO_TRY(objstore::PutOptions options, s3::ParsePutOptions(call));
  options.checksum.algorithm = call.Header("x-amz-checksum-algorithm");
  CO_TRY(options.checksum.full_object, WantsFullObject(call));
  std::string algorithm = options.checksum.algorithm;
  bool full_object = options.checksum.full_object || algorithm == "CRC64NVME";
  if (full_object && algorithm.empty()) {
    co_return Fail(InvalidArgument("The x-amz-checksum-type header needs x-amz-checksum-algorithm.", "InvalidRequest"));
  }
  CO_TRY(std::string id,
         co_await OnPool([&] { return store_.CreateMultipart(call.bucket, call.key, std::move(options)); }));
  wire::XmlWriter xml("InitiateMultipartUploadResult", s3::kXmlns);
  xml.Text("Bucket", call.bucket).Text("Key", call.key).Text("UploadId", id);
  http::Response response = s3::XmlResponse(200, xml.Finish());
  if (!algorithm.empty()) {
    response.headers.Add("x-amz-checksum-algorithm", algorithm);
    response.headers.Add("x-amz-checksum-type", full_object ? "FULL_OBJECT" : "COMPOSITE");
  }
  co_return response;
}

S3Service::Reply S3Service::UploadPart(Call& call) {
  CO_TRYV(s3::RefuseUnsupportedHeaders(call));
  std::string id = call.Query("uploadId");
  std::optional<int64_t> number = ParseInt(call.Query("partNumber"));
  if (id.empty() || !number || *number < 1 || *number > objstore::kMostParts) {
    co_return Fail(
        InvalidArgument("Part number must be an integer between 1 and 10000, inclusive, and uploadId name its "
                        "upload.",
                        "InvalidArgument"));
  }
  int part_number = static_cast<int>(*number);
  if (call.request.headers.Has("x-amz-copy-source")) co_return co_await UploadPartCopy(call, id, part_number);
  CO_TRY(s3::UploadBody body, s3::UploadBody::Create(call));
  std::string md5(call.Header("Content-MD5"));
  CO_TRY(auto writer,
         co_await OnPool([&] { return store_.PutPart(call.bucket, call.key, id, part_number, body.checksum(), md5); }));
  CO_TRYV(co_await body.CopyTo(runtime_, *writer));
  CO_TRY(objstore::ObjectInfo info, co_await OnPool([&] { return writer->Commit(); }));
  http::Response response;
  response.headers.Add("ETag", s3::Quoted(info.etag));
  if (!info.checksum.empty()) response.headers.Add(s3::ChecksumHeader(info.checksum_algorithm), info.checksum);
  co_return response;
}

S3Service::Reply S3Service::UploadPartCopy(Call& call, std::string upload_id, int number) {
  CO_TRY(s3::ObjectName source, s3::ParseCopySource(call.Header("x-amz-copy-source")));
  CO_TRY(objstore::ObjectContent content, co_await OnPool([&] { return store_.Get(source.bucket, source.key); }));
  if (s3::CheckConditions(call, "x-amz-copy-source-", content.info) != s3::Condition::kProceed) {
    co_return Fail(Error(ErrorKind::kFailedPrecondition,
                         "At least one of the pre-conditions you specified did not hold.", "PreconditionFailed"));
  }
  CO_TRY(s3::ByteRange range, s3::ParseCopyRange(call.Header("x-amz-copy-source-range"), content.info.size));
  CO_TRY(objstore::ObjectInfo info, co_await OnPool([&]() -> Result<objstore::ObjectInfo> {
           TRY(auto writer, store_.PutPart(call.bucket, call.key, upload_id, number, {}, ""));
           TRYV(CopyRange(content, range, *writer));
           return writer->Commit();
         }));
  wire::XmlWriter xml("CopyPartResult", s3::kXmlns);
  xml.Text("LastModified", FormatIso8601(info.modified_ms)).Text("ETag", s3::Quoted(info.etag));
  if (!info.checksum.empty()) xml.Text(s3::ChecksumElement(info.checksum_algorithm), info.checksum);
  co_return s3::XmlResponse(200, xml.Finish());
}

S3Service::Reply S3Service::CompleteMultipartUpload(Call& call) {
  objstore::CompleteOptions options;
  options.if_match = call.Header("If-Match");
  options.if_none_match = call.Header("If-None-Match");
  if (const std::string* size = call.request.headers.Find("x-amz-mp-object-size")) {
    std::optional<int64_t> value = ParseInt(*size);
    if (!value) co_return Fail(InvalidArgument("Value for x-amz-mp-object-size header is invalid.", "InvalidRequest"));
    options.size = static_cast<uint64_t>(*value);
  }
  // Here x-amz-checksum-* is of the whole object, not of this request's body.
  CO_TRY(objstore::ChecksumRequest whole, s3::ParseChecksum(call));
  options.checksum = whole.expected;
  CO_TRY(s3::UploadBody upload, s3::UploadBody::CreateWithoutChecksum(call));
  CO_TRY(std::string body, co_await upload.ReadWhole(runtime_, kMostCompleteXml));
  CO_TRY(std::vector<objstore::CompletedPart> parts, ParseComplete(body));
  std::string id = call.Query("uploadId");
  CO_TRY(objstore::ObjectInfo info, co_await OnPool([&] {
           return store_.CompleteMultipart(call.bucket, call.key, id, std::move(parts), std::move(options));
         }));
  wire::XmlWriter xml("CompleteMultipartUploadResult", s3::kXmlns);
  xml.Text("Location", "http://" + call.request.host + call.request.path);
  xml.Text("Bucket", call.bucket).Text("Key", call.key).Text("ETag", s3::Quoted(info.etag));
  if (!info.checksum.empty()) {
    xml.Text(s3::ChecksumElement(info.checksum_algorithm), info.checksum);
    xml.Text("ChecksumType", info.checksum.find('-') != std::string::npos ? "COMPOSITE" : "FULL_OBJECT");
  }
  co_return s3::XmlResponse(200, xml.Finish());
}

S3Service::Reply S3Service::AbortMultipartUpload(Call& call) {
  std::string id = call.Query("uploadId");
  CO_TRYV(co_await OnPool([&] { return store_.AbortMultipart(call.bucket, call.key, id); }));
  http::Response response;
  response.status = 204;
  co_return response;
}

S3Service::Reply S3Service::ListParts(Call& call) {
  CO_TRY(int64_t most, s3::ParseCount(call, "max-parts", kMostListed));
  CO_TRY(int64_t marker, s3::ParseCount(call, "part-number-marker", INT32_MAX));
  if (call.Query("part-number-marker").empty()) marker = 0;
  std::string id = call.Query("uploadId");
  CO_TRY(auto parts, co_await OnPool([&] { return store_.ListParts(call.bucket, call.key, id); }));
  std::erase_if(parts, [marker](const objstore::PartInfo& part) { return part.number <= marker; });
  bool truncated = parts.size() > static_cast<size_t>(most);
  if (truncated) parts.resize(static_cast<size_t>(most));
  wire::XmlWriter xml("ListPartsResult", s3::kXmlns);
  xml.Text("Bucket", call.bucket).Text("Key", call.key).Text("UploadId", id);
  xml.Number("PartNumberMarker", marker).Number("MaxParts", most).Bool("IsTruncated", truncated);
  if (truncated && !parts.empty()) xml.Number("NextPartNumberMarker", parts.back().number);
  if (!parts.empty() && !parts[0].checksum_algorithm.empty()) {
    xml.Text("ChecksumAlgorithm", parts[0].checksum_algorithm);
  }
  for (const objstore::PartInfo& part : parts) {
    xml.Open("Part").Number("PartNumber", part.number).Text("LastModified", FormatIso8601(part.modified_ms));
    xml.Text("ETag", s3::Quoted(part.etag)).Number("Size", part.size);
    if (!part.checksum.empty() && !part.checksum_algorithm.empty()) {
      xml.Text(s3::ChecksumElement(part.checksum_algorithm), part.checksum);
    }
    xml.Close();
  }
  co_return s3::XmlResponse(200, xml.Finish());
}

S3Service::Reply S3Service::ListMultipartUploads(Call& call) {
  if (!call.Query("delimiter").empty()) {
    co_return Fail(
        Error(ErrorKind::kUnsupported, "The delimiter of ListMultipartUploads is not implemented.", "NotImplemented"));
  }
  CO_TRY(int64_t most, s3::ParseCount(call, "max-uploads", kMostListed));
  CO_TRY(bool url, s3::WantsUrlEncoding(call));
  std::string prefix = call.Query("prefix"), key_marker = call.Query("key-marker");
  std::string id_marker = key_marker.empty() ? "" : call.Query("upload-id-marker");
  CO_TRY(auto uploads, co_await OnPool([&] { return store_.ListMultipart(call.bucket); }));
  auto marker = std::ranges::find_if(uploads, [&](const objstore::MultipartUpload& upload) {
    return upload.key == key_marker && upload.upload_id == id_marker;
  });
  // Behind the upload that the markers name, or behind every upload of the marked key.
  if (marker != uploads.end()) {
    uploads.erase(uploads.begin(), marker + 1);
  } else if (!key_marker.empty()) {
    std::erase_if(uploads, [&](const objstore::MultipartUpload& upload) { return upload.key <= key_marker; });
  }
  std::erase_if(uploads, [&](const objstore::MultipartUpload& upload) { return !upload.key.starts_with(prefix); });
  bool truncated = uploads.size() > static_cast<size_t>(most);
  if (truncated) uploads.resize(static_cast<size_t>(most));
  auto encode = [url](const std::string& key) { return url ? UriEncode(key, /*keep_slash=*/true) : key; };
  wire::XmlWriter xml("ListMultipartUploadsResult", s3::kXmlns);
  xml.Text("Bucket", call.bucket).Text("KeyMarker", encode(key_marker)).Text("UploadIdMarker", id_marker);
  xml.Text("Prefix", encode(prefix)).Number("MaxUploads", most).Bool("IsTruncated", truncated);
  if (url) xml.Text("EncodingType", "url");
  if (truncated && !uploads.empty()) {
    xml.Text("NextKeyMarker", encode(uploads.back().key)).Text("NextUploadIdMarker", uploads.back().upload_id);
  }
  for (const objstore::MultipartUpload& upload : uploads) {
    xml.Open("Upload").Text("Key", encode(upload.key)).Text("UploadId", upload.upload_id);
    xml.Text("Initiated", FormatIso8601(upload.created_ms)).Text("StorageClass", "STANDARD");
    if (!upload.checksum_algorithm.empty()) xml.Text("ChecksumAlgorithm", upload.checksum_algorithm);
    xml.Close();
  }
  co_return s3::XmlResponse(200, xml.Finish());
}

}  // namespace sagebrush::api
