#include "api/s3/s3.h"
#include "base/text.h"
#include "wire/xml_writer.h"

namespace sagebrush::api {
namespace {

constexpr int64_t kMostKeys = 1000;
constexpr std::string_view kTokenTag = "k:";  // so that a token never is the empty string and never a bare key

std::string EncodeToken(const std::string& key) { return Base64Encode(std::string(kTokenTag) + key); }

Result<std::string> DecodeToken(const std::string& token) {
  std::optional<std::string> decoded = Base64Decode(token);
  if (!decoded || !decoded->starts_with(kTokenTag)) {
    return Fail(InvalidArgument("The continuation token provided is incorrect", "InvalidArgument"));
  }
  return decoded->substr(kTokenTag.size());
}

// What both versions of the operation print alike.
class ListingWriter {
 public:
  ListingWriter(const s3::Call& call, bool url) : url_(url), xml_("ListBucketResult", s3::kXmlns) {
    xml_.Text("Name", call.bucket);
    Key("Prefix", call.Query("prefix"));
    if (std::string delimiter = call.Query("delimiter"); !delimiter.empty()) Key("Delimiter", delimiter);
    if (url) xml_.Text("EncodingType", "url");
  }

  // `text` in the encoding that the client asked for.
  void Key(std::string_view element, std::string_view text) {
    xml_.Text(element, url_ ? UriEncode(text, /*keep_slash=*/true) : std::string(text));
  }

  void Entries(const objstore::ListResult& listing, std::string_view owner) {
    for (const objstore::ObjectInfo& object : listing.objects) {
      xml_.Open("Contents");
      Key("Key", object.key);
      xml_.Text("LastModified", FormatIso8601(object.modified_ms)).Text("ETag", s3::Quoted(object.etag));
      xml_.Number("Size", object.size).Text("StorageClass", "STANDARD");
      if (!object.checksum_algorithm.empty()) xml_.Text("ChecksumAlgorithm", object.checksum_algorithm);
      if (!owner.empty()) xml_.Open("Owner").Text("ID", owner).Text("DisplayName", "sagebrush").Close();
      xml_.Close();
    }
    for (const std::string& prefix : listing.common_prefixes) {
      xml_.Open("CommonPrefixes");
      Key("Prefix", prefix);
      xml_.Close();
    }
  }
  wire::XmlWriter& xml() { return xml_; }

 private:
  bool url_;
  wire::XmlWriter xml_;
};

}  // namespace

S3Service::Reply S3Service::ListObjects(Call& call) {
  std::string version = call.Query("list-type");
  bool second = version == "2";
  if (!version.empty() && !second) {
    co_return Fail(InvalidArgument("Invalid list-type: it is 2, or absent for version 1.", "InvalidArgument"));
  }
  CO_TRY(bool url, s3::WantsUrlEncoding(call));
  CO_TRY(int64_t most, s3::ParseCount(call, "max-keys", kMostKeys));
  objstore::ListRequest request{call.Query("prefix"), call.Query("delimiter"),
                                call.Query(second ? "start-after" : "marker"), static_cast<size_t>(most)};
  std::string token = call.Query("continuation-token");
  if (second && call.request.HasQuery("continuation-token")) {
    CO_TRY(request.start_after, DecodeToken(token));
  }
  CO_TRY(objstore::ListResult listing, co_await OnPool([&] { return store_.List(call.bucket, request); }));
  ListingWriter writer(call, url);
  wire::XmlWriter& xml = writer.xml();
  xml.Number("MaxKeys", most).Bool("IsTruncated", listing.truncated);
  std::string owner = installation_.account;
  if (second) {
    xml.Number("KeyCount", listing.objects.size() + listing.common_prefixes.size());
    if (!token.empty()) xml.Text("ContinuationToken", token);
    if (call.request.HasQuery("start-after")) writer.Key("StartAfter", call.Query("start-after"));
    if (listing.truncated) xml.Text("NextContinuationToken", EncodeToken(listing.next));
    if (!EqualsIgnoreCase(call.Query("fetch-owner"), "true")) owner.clear();
  } else {
    writer.Key("Marker", call.Query("marker"));
    if (listing.truncated) writer.Key("NextMarker", listing.next);
  }
  writer.Entries(listing, owner);
  co_return s3::XmlResponse(200, xml.Finish());
}

}  // namespace sagebrush::api
