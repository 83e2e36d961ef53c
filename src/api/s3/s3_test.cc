#include "api/s3/s3.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <filesystem>
#include <pugixml.hpp>
#include <thread>

#include "base/hash.h"
#include "base/text.h"
#include "http/fake_body.h"

namespace sagebrush::api {
namespace {

using http::testing::FakeBody;
using testing::HasSubstr;

struct Sent {
  std::string method, target, body;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string payload_hash;
  std::string host = "localhost";
  size_t piece = 1 << 20;
  bool cut_short = false;
};

std::string BodyOf(const http::Response& response) {
  if (const std::string* text = std::get_if<std::string>(&response.body)) return *text;
  const http::FileBody& file = std::get<http::FileBody>(response.body);
  return *io::ReadAt(file.file.get(), file.offset, file.length);
}

std::string Code(const http::Response& response) {
  pugi::xml_document document;
  std::string body = BodyOf(response);
  document.load_buffer(body.data(), body.size());
  return document.child("Error").child("Code").text().get();
}

class S3Test : public testing::Test {
 protected:
  S3Test() {
    std::string pattern = (std::filesystem::temp_directory_path() / "s3-test-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    auto store = objstore::ObjectStore::Open(directory_ / "objects", {::geteuid(), ::getegid()}, clock_);
    EXPECT_TRUE(store.has_value());
    store_ = std::move(*store);
    service_ = std::make_unique<S3Service>(runtime_, *store_, Installation{"000000000000", "us-west-2"});
    thread_ = std::jthread([this] { runtime_.Run(); });
    EXPECT_EQ(Send({"PUT", "/bucket"}).status, 200);
  }
  ~S3Test() override {
    runtime_.Stop();
    thread_.join();
    std::filesystem::remove_all(directory_);
  }

  http::Response Send(Sent sent) {
    http::Request request;
    request.method = sent.method;
    request.target = sent.target;
    size_t question = sent.target.find('?');
    request.path = sent.target.substr(0, question);
    if (question != sent.target.npos) {
      for (std::string_view part : Split(std::string_view(sent.target).substr(question + 1), '&')) {
        size_t equals = part.find('=');
        std::string_view value = equals == part.npos ? std::string_view() : part.substr(equals + 1);
        request.query.emplace_back(*UriDecode(part.substr(0, equals)), *UriDecode(value));
      }
    }
    for (auto& [name, value] : sent.headers) request.headers.Add(name, value);
    request.host = sent.host;
    request.request_id = "request-1";
    FakeBody body(sent.body, {.piece = sent.piece, .cut_short = sent.cut_short});
    request.body = &body;
    CallContext context;
    context.caller.region = "us-west-2";
    context.caller.payload_hash = sent.payload_hash;
    return boost::asio::co_spawn(runtime_.context(), service_->Handle(request, context), boost::asio::use_future).get();
  }
  std::string Get(const std::string& key) { return BodyOf(Send({"GET", "/bucket/" + key})); }
  size_t BlobFiles() const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_ / "objects/blobs")) {
      count += entry.is_regular_file();
    }
    return count;
  }

  std::filesystem::path directory_;
  ManualClock clock_{1'700'000'000'000};
  io::Runtime runtime_{1, 2};
  std::unique_ptr<objstore::ObjectStore> store_;
  std::unique_ptr<S3Service> service_;
  std::jthread thread_;
};

const std::string kTrailerHash = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const std::string kCrcOfHello = Base64Encode(BigEndian(Crc32("hello")));

Sent ChunkedPut(std::string body) {
  return {"PUT",
          "/bucket/k",
          std::move(body),
          {{"Content-Encoding", "gzip,aws-chunked"},
           {"x-amz-decoded-content-length", "5"},
           {"x-amz-trailer", "x-amz-checksum-crc32"},
           {"x-amz-sdk-checksum-algorithm", "CRC32"}},
          kTrailerHash};
}

TEST_F(S3Test, PutsAndGetsWithMetadata) {
  http::Response put = Send({"PUT",
                             "/bucket/a%20b",
                             "hello",
                             {{"Content-Type", "text/x"},
                              {"X-Amz-Meta-Colour", "blue"},
                              {"Cache-Control", "no-store"},
                              {"x-amz-checksum-crc32", kCrcOfHello}}});
  ASSERT_EQ(put.status, 200) << BodyOf(put);
  EXPECT_EQ(put.headers.Get("ETag"), "\"5d41402abc4b2a76b9719d911017c592\"");
  http::Response get =
      Send({"GET", "/bucket/a%20b?response-content-type=a%2Fb", "", {{"x-amz-checksum-mode", "ENABLED"}}});
  EXPECT_EQ(get.status, 200);
  EXPECT_EQ(BodyOf(get), "hello");
  EXPECT_EQ(get.headers.Get("Content-Type"), "a/b");
  EXPECT_EQ(get.headers.Get("x-amz-meta-colour"), "blue");
  EXPECT_EQ(get.headers.Get("Cache-Control"), "no-store");
  EXPECT_EQ(get.headers.Get("x-amz-checksum-crc32"), kCrcOfHello);
  EXPECT_EQ(get.headers.Get("Last-Modified"), "Tue, 14 Nov 2023 22:13:20 GMT");
  http::Response head = Send({"HEAD", "/bucket/a%20b"});
  EXPECT_EQ(head.head_length, std::optional<uint64_t>(5));
  EXPECT_FALSE(head.headers.Has("x-amz-checksum-crc32"));
}

TEST_F(S3Test, AHeadErrorHasNoBody) {
  http::Response head = Send({"HEAD", "/bucket/absent"});
  EXPECT_EQ(head.status, 404);
  EXPECT_EQ(BodyOf(head), "");
  EXPECT_EQ(head.headers.Get("x-amz-request-id"), "request-1");
}

TEST_F(S3Test, VirtualHostsNameTheBucket) {
  for (const char* host : {"bucket.s3.us-west-2.amazonaws.com", "bucket.s3.amazonaws.com",
                           "bucket.s3-us-west-2.amazonaws.com", "bucket.s3.dualstack.us-west-2.amazonaws.com"}) {
    Sent put{"PUT", "/dir/key", host};
    put.host = host;
    ASSERT_EQ(Send(put).status, 200) << host;
    EXPECT_EQ(Get("dir/key"), host);
  }
  Sent list{"GET", "/"};
  list.host = "s3.us-west-2.amazonaws.com";
  EXPECT_THAT(BodyOf(Send(list)), HasSubstr("<ListAllMyBucketsResult"));
  Sent dotted{"PUT", "/"};
  dotted.host = "with.s3.dots.s3.us-west-2.amazonaws.com";
  ASSERT_EQ(Send(dotted).status, 200);
  EXPECT_TRUE(store_->HeadBucket("with.s3.dots").has_value());
}

TEST_F(S3Test, RangesInEveryForm) {
  ASSERT_EQ(Send({"PUT", "/bucket/k", "0123456789"}).status, 200);
  struct Case {
    std::string range;
    int status;
    std::string body, content_range;
  };
  for (const Case& c : std::vector<Case>{{"bytes=2-4", 206, "234", "bytes 2-4/10"},
                                         {"bytes=8-", 206, "89", "bytes 8-9/10"},
                                         {"bytes=8-99", 206, "89", "bytes 8-9/10"},
                                         {"bytes=-3", 206, "789", "bytes 7-9/10"},
                                         {"bytes=-99", 206, "0123456789", "bytes 0-9/10"},
                                         {"bytes=5-2", 200, "0123456789", ""},
                                         {"bytes=1-2,4-5", 200, "0123456789", ""},
                                         {"lines=1-2", 200, "0123456789", ""}}) {
    http::Response got = Send({"GET", "/bucket/k", "", {{"Range", c.range}, {"x-amz-checksum-mode", "ENABLED"}}});
    EXPECT_EQ(got.status, c.status) << c.range;
    EXPECT_EQ(BodyOf(got), c.body) << c.range;
    EXPECT_EQ(got.headers.Get("Content-Range"), c.content_range) << c.range;
  }
  for (const char* range : {"bytes=10-", "bytes=99-100", "bytes=-0"}) {
    http::Response got = Send({"GET", "/bucket/k", "", {{"Range", range}}});
    EXPECT_EQ(got.status, 416) << range;
    EXPECT_EQ(Code(got), "InvalidRange") << range;
  }
}

TEST_F(S3Test, ConditionalReads) {
  ASSERT_EQ(Send({"PUT", "/bucket/k", "hello"}).status, 200);
  auto status = [this](std::string name, std::string value) {
    return Send({"GET", "/bucket/k", "", {{std::move(name), std::move(value)}}}).status;
  };
  const std::string etag = "\"5d41402abc4b2a76b9719d911017c592\"";
  EXPECT_EQ(status("If-Match", etag), 200);
  EXPECT_EQ(status("If-Match", "\"x\", " + etag), 200);
  EXPECT_EQ(status("If-Match", "\"x\""), 412);
  EXPECT_EQ(status("If-None-Match", etag), 304);
  EXPECT_EQ(status("If-None-Match", "\"x\""), 200);
  EXPECT_EQ(status("If-Modified-Since", "Tue, 14 Nov 2023 22:13:20 GMT"), 304);
  EXPECT_EQ(status("If-Modified-Since", "Tue, 14 Nov 2023 22:13:19 GMT"), 200);
  EXPECT_EQ(status("If-Unmodified-Since", "Tuesday, 14-Nov-23 22:13:19 GMT"), 412);
  EXPECT_EQ(status("If-Unmodified-Since", "Tue Nov 14 22:13:20 2023"), 200);
  EXPECT_EQ(status("If-Modified-Since", "nonsense"), 200);
}

TEST_F(S3Test, AwsChunkedBodiesInAnyPieces) {
  for (size_t piece : {1, 2, 7, 1000}) {
    Sent put = ChunkedPut("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:" + kCrcOfHello + "\r\n\r\n");
    put.piece = piece;
    http::Response response = Send(put);
    ASSERT_EQ(response.status, 200) << BodyOf(response);
    EXPECT_EQ(response.headers.Get("x-amz-checksum-crc32"), kCrcOfHello);
    http::Response get = Send({"GET", "/bucket/k"});
    EXPECT_EQ(BodyOf(get), "hello");
    EXPECT_EQ(get.headers.Get("Content-Encoding"), "gzip");
  }
}

TEST_F(S3Test, BrokenBodiesAreRefusedAndLeaveNothing) {
  auto code = [this](Sent put) {
    http::Response response = Send(std::move(put));
    EXPECT_EQ(response.status, 400);
    return Code(response);
  };
  EXPECT_EQ(code(ChunkedPut("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n")), "BadDigest");
  EXPECT_EQ(code(ChunkedPut("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:short\r\n\r\n")), "InvalidRequest");
  EXPECT_EQ(code(ChunkedPut("5\r\nhello\r\n0\r\n\r\n")), "MalformedTrailerError");
  EXPECT_EQ(code(ChunkedPut("4\r\nhell\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n")), "IncompleteBody");
  EXPECT_EQ(code(ChunkedPut("zz\r\n")), "InvalidChunkSizeError");
  EXPECT_EQ(code({"PUT", "/bucket/k", "hello", {}, std::string(64, '0')}), "XAmzContentSHA256Mismatch");
  EXPECT_EQ(code({"PUT", "/bucket/k", "hello", {{"Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA=="}}}), "BadDigest");
  EXPECT_EQ(code({"PUT", "/bucket/k", "hello", {{"Content-MD5", "x"}}}), "InvalidDigest");
  EXPECT_EQ(code({"PUT", "/bucket/k", "hello", {{"x-amz-sdk-checksum-algorithm", "CRC32"}}}), "InvalidRequest");
  EXPECT_EQ(code({"PUT", "/bucket/k", "hello", {{"x-amz-checksum-crc32", kCrcOfHello}, {"x-amz-checksum-sha1", "x"}}}),
            "InvalidRequest");
  Sent cut{"PUT", "/bucket/k", std::string(200'000, 'x')};
  cut.cut_short = true;
  cut.piece = 1000;
  EXPECT_EQ(code(cut), "IncompleteBody");
  EXPECT_EQ(Send({"HEAD", "/bucket/k"}).status, 404);
  EXPECT_EQ(BlobFiles(), 0u);
}

TEST_F(S3Test, TheDeclaredDigestIsVerified) {
  std::string large(3 << 20, 'x');
  EXPECT_EQ(Send({"PUT", "/bucket/k", large, {}, HexEncode(Sha256(large))}).status, 200);
  EXPECT_EQ(Get("k"), large);
}

TEST_F(S3Test, WhatIsNotHereIsRefusedByName) {
  struct Case {
    std::string method, target, name;
  };
  for (const Case& c : std::vector<Case>{{"GET", "/bucket?versioning", "versioning"},
                                         {"GET", "/bucket?acl", "acl"},
                                         {"PUT", "/bucket?policy", "policy"},
                                         {"GET", "/bucket/k?tagging", "tagging"},
                                         {"PUT", "/bucket/k?acl", "acl"},
                                         {"GET", "/bucket/k?partNumber=1", "partNumber"},
                                         {"GET", "/bucket/k?versionId=abc", "versionId"},
                                         {"POST", "/bucket/k?select&select-type=2", "select"}}) {
    http::Response response = Send({c.method, c.target});
    EXPECT_EQ(response.status, 501) << c.target;
    EXPECT_THAT(BodyOf(response), HasSubstr("'" + c.name + "'"));
  }
  http::Response lock = Send({"PUT", "/bucket/k", "", {{"x-amz-object-lock-mode", "GOVERNANCE"}}});
  EXPECT_EQ(lock.status, 501);
  http::Response signed_chunks = Send({"PUT", "/bucket/k", "", {}, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"});
  EXPECT_EQ(signed_chunks.status, 501);
  EXPECT_EQ(Send({"PATCH", "/bucket/k"}).status, 405);
}

TEST_F(S3Test, TheExpectedOwnerMustBeTheAccount) {
  EXPECT_EQ(Send({"HEAD", "/bucket", "", {{"x-amz-expected-bucket-owner", "000000000000"}}}).status, 200);
  http::Response other = Send({"GET", "/bucket", "", {{"x-amz-expected-bucket-owner", "111111111111"}}});
  EXPECT_EQ(other.status, 403);
  EXPECT_EQ(Code(other), "AccessDenied");
}

TEST_F(S3Test, CreateBucketReadsItsConstraint) {
  auto create = [this](std::string region) {
    return Send({"PUT", "/new-bucket",
                 "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>" +
                     region + "</LocationConstraint></CreateBucketConfiguration>"});
  };
  EXPECT_EQ(Code(create("eu-west-1")), "IllegalLocationConstraintException");
  EXPECT_EQ(create("us-west-2").status, 200);
  EXPECT_EQ(create("us-west-2").status, 409);
  EXPECT_EQ(Code(Send({"PUT", "/Bad_Bucket"})), "InvalidBucketName");
  EXPECT_EQ(Code(Send({"PUT", "/other", "<oops"})), "MalformedXML");
}

TEST_F(S3Test, ListsBothVersionsUrlEncoded) {
  for (const char* key : {"a%20b", "d/%2B", "d/2", "%D0%BA"})
    ASSERT_EQ(Send({"PUT", "/bucket/" + std::string(key)}).status, 200);
  std::string first = BodyOf(Send({"GET", "/bucket?encoding-type=url&delimiter=%2F&max-keys=2"}));
  EXPECT_THAT(first, HasSubstr("<Key>a%20b</Key>"));
  EXPECT_THAT(first, HasSubstr("<CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes>"));
  EXPECT_THAT(first, HasSubstr("<IsTruncated>true</IsTruncated>"));
  EXPECT_THAT(first, HasSubstr("<NextMarker>d/</NextMarker>"));
  std::string rest = BodyOf(Send({"GET", "/bucket?encoding-type=url&delimiter=%2F&marker=d%2F"}));
  EXPECT_THAT(rest, HasSubstr("<Key>%D0%BA</Key>"));
  EXPECT_THAT(rest, testing::Not(HasSubstr("<CommonPrefixes>")));
  std::string plain = BodyOf(Send({"GET", "/bucket?list-type=2&prefix=d%2F&max-keys=1"}));
  EXPECT_THAT(plain, HasSubstr("<Key>d/+</Key>"));
  pugi::xml_document document;
  document.load_string(plain.c_str());
  std::string token = document.child("ListBucketResult").child("NextContinuationToken").text().get();
  std::string next = BodyOf(Send({"GET", "/bucket?list-type=2&prefix=d%2F&continuation-token=" + UriEncode(token)}));
  EXPECT_THAT(next, HasSubstr("<Key>d/2</Key>"));
  EXPECT_EQ(Code(Send({"GET", "/bucket?list-type=2&continuation-token=nonsense"})), "InvalidArgument");
  EXPECT_EQ(Code(Send({"GET", "/bucket?max-keys=-1"})), "InvalidArgument");
  EXPECT_EQ(Code(Send({"GET", "/bucket?encoding-type=base64"})), "InvalidArgument");
}

TEST_F(S3Test, DeletesManyAndRefusesBrokenXml) {
  for (const char* key : {"a", "b", "%20"}) ASSERT_EQ(Send({"PUT", "/bucket/" + std::string(key)}).status, 200);
  http::Response done = Send({"POST", "/bucket?delete",
                              "<Delete><Object><Key>a</Key></Object><Object><Key>absent</Key></Object>"
                              "<Object><Key> </Key></Object></Delete>"});
  EXPECT_THAT(BodyOf(done), HasSubstr("<Deleted><Key>absent</Key></Deleted>"));
  EXPECT_THAT(BodyOf(Send({"GET", "/bucket"})), HasSubstr("<Key>b</Key>"));
  EXPECT_EQ(store_->List("bucket", {})->objects.size(), 1u);
  for (const char* broken :
       {"", "<Delete>", "<Other/>", "<Delete/>", "<Delete><Object/></Delete>", "\xff\xfe garbage"}) {
    http::Response response = Send({"POST", "/bucket?delete", broken});
    EXPECT_EQ(response.status, 400) << broken;
    EXPECT_EQ(Code(response), "MalformedXML") << broken;
  }
  EXPECT_EQ(Code(Send({"POST",
                       "/bucket?delete",
                       "<Delete><Object><Key>b</Key></Object></Delete>",
                       {{"x-amz-checksum-crc32", kCrcOfHello}}})),
            "BadDigest");
  EXPECT_EQ(store_->List("bucket", {})->objects.size(), 1u);
}

TEST_F(S3Test, MultipartFromStartToEnd) {
  http::Response created = Send({"POST", "/bucket/big?uploads", "", {{"x-amz-checksum-algorithm", "CRC32"}}});
  pugi::xml_document document;
  document.load_string(BodyOf(created).c_str());
  std::string id = document.child("InitiateMultipartUploadResult").child("UploadId").text().get();
  std::string one(5 << 20, '1'), two = "hello";
  std::string part = "/bucket/big?uploadId=" + id + "&partNumber=";
  http::Response put1 = Send({"PUT", part + "1", one});
  http::Response put2 = Send({"PUT", part + "2", two, {{"x-amz-checksum-crc32", kCrcOfHello}}});
  ASSERT_EQ(put1.status, 200);
  ASSERT_EQ(put2.status, 200);
  ASSERT_EQ(Send({"PUT", "/bucket/source", "0123456789"}).status, 200);
  http::Response copied =
      Send({"PUT", part + "3", "", {{"x-amz-copy-source", "bucket/source"}, {"x-amz-copy-source-range", "bytes=2-4"}}});
  EXPECT_THAT(BodyOf(copied), HasSubstr("<CopyPartResult"));
  EXPECT_EQ(Code(Send({"PUT",
                       part + "3",
                       "",
                       {{"x-amz-copy-source", "bucket/source"}, {"x-amz-copy-source-range", "bytes=2-40"}}})),
            "InvalidArgument");
  EXPECT_EQ(Code(Send({"PUT", part + "0", ""})), "InvalidArgument");
  EXPECT_THAT(BodyOf(Send({"GET", "/bucket/big?uploadId=" + id + "&max-parts=1"})),
              HasSubstr("<NextPartNumberMarker>1</NextPartNumberMarker>"));
  EXPECT_THAT(BodyOf(Send({"GET", "/bucket?uploads"})), HasSubstr(id));
  auto part_xml = [](int number, std::string_view etag) {
    return "<Part><PartNumber>" + std::to_string(number) + "</PartNumber><ETag>" + std::string(etag) + "</ETag></Part>";
  };
  std::string etag3 = '"' + HexEncode(Md5("234")) + '"';
  std::string xml = "<CompleteMultipartUpload>" + part_xml(1, put1.headers.Get("ETag"));
  EXPECT_EQ(Code(Send({"POST", "/bucket/big?uploadId=" + id, xml + "</CompleteMultipartUploa>"})), "MalformedXML");
  EXPECT_EQ(
      Code(Send({"POST", "/bucket/big?uploadId=" + id, xml + part_xml(9, "\"x\"") + "</CompleteMultipartUpload>"})),
      "InvalidPart");
  EXPECT_EQ(
      Code(Send({"POST", "/bucket/big?uploadId=" + id,
                 xml + part_xml(2, put2.headers.Get("ETag")) + part_xml(3, etag3) + "</CompleteMultipartUpload>"})),
      "EntityTooSmall");
  http::Response done = Send({"POST", "/bucket/big?uploadId=" + id,
                              xml + part_xml(2, put2.headers.Get("ETag")) + "</CompleteMultipartUpload>"});
  ASSERT_EQ(done.status, 200) << BodyOf(done);
  EXPECT_THAT(BodyOf(done), HasSubstr("<ChecksumType>COMPOSITE</ChecksumType>"));
  EXPECT_EQ(Get("big"), one + two);
  EXPECT_EQ(Code(Send({"DELETE", "/bucket/big?uploadId=" + id})), "NoSuchUpload");
}

TEST_F(S3Test, CopiesByDirectiveAndCondition) {
  ASSERT_EQ(Send({"PUT", "/bucket/a%2Bb", "hello", {{"x-amz-meta-m", "1"}}}).status, 200);
  auto copy = [this](std::string key, std::vector<std::pair<std::string, std::string>> more) {
    more.emplace_back("x-amz-copy-source", "/bucket/a%2Bb");
    return Send({"PUT", "/bucket/" + key, "", more});
  };
  EXPECT_EQ(copy("c", {}).status, 200);
  EXPECT_EQ(Send({"HEAD", "/bucket/c"}).headers.Get("x-amz-meta-m"), "1");
  EXPECT_EQ(copy("c", {{"x-amz-metadata-directive", "REPLACE"}, {"x-amz-meta-m", "2"}}).status, 200);
  EXPECT_EQ(Send({"HEAD", "/bucket/c"}).headers.Get("x-amz-meta-m"), "2");
  EXPECT_EQ(copy("c", {{"If-None-Match", "*"}}).status, 412);
  EXPECT_EQ(copy("c", {{"x-amz-copy-source-if-match", "\"x\""}}).status, 412);
  EXPECT_EQ(Code(copy("c", {{"x-amz-metadata-directive", "nonsense"}})), "InvalidArgument");
  EXPECT_EQ(Code(copy("a%2Bb", {})), "InvalidRequest");
  EXPECT_EQ(Code(Send({"PUT", "/bucket/c", "", {{"x-amz-copy-source", "no-slash"}}})), "InvalidArgument");
}

TEST_F(S3Test, MalformedAddressesAreRefused) {
  EXPECT_EQ(Code(Send({"GET", "/bucket/%zz"})), "InvalidURI");
  EXPECT_EQ(Code(Send({"PUT", "/bucket/%FF"})), "InvalidURI");
  EXPECT_EQ(Code(Send({"PUT", "/bucket/" + std::string(1025, 'k')})), "KeyTooLongError");
  EXPECT_EQ(Code(Send({"GET", "//key"})), "InvalidURI");
}

}  // namespace
}  // namespace sagebrush::api
