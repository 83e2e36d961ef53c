// The file system's parts over a local server that answers from a script, and the pure functions under them.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <rapidcheck.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <thread>

#include "base/hash.h"
#include "base/text.h"
#include "tfs3/file_system.h"
#include "tfs3/reader.h"
#include "tfs3/writer.h"
#include "tfs3/xml.h"

namespace sagebrush::tfs3 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

struct Answer {
  int status = 200;
  std::string body;
  std::string headers;  // whole lines
};

struct Seen {
  std::string line;  // "GET /bucket/key?query"
  std::string headers;
  std::string body;
};

// Answers the n-th request with the n-th answer, each on a connection of its own. Status 0 closes without an answer.
class ScriptedS3 {
 public:
  explicit ScriptedS3(std::vector<Answer> answers) : answers_(std::move(answers)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 16), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~ScriptedS3() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }

  S3Client::Options Options() {
    S3Client::Options options;
    options.environment = [this](const char* name) {
      std::map<std::string, std::string> variables = {{"AWS_ENDPOINT_URL", "http://127.0.0.1:" + std::to_string(port_)},
                                                      {"S3_USE_HTTPS", "1"},
                                                      {"AWS_ACCESS_KEY_ID", "key"},
                                                      {"AWS_SECRET_ACCESS_KEY", "secret"}};
      return variables[name];
    };
    options.pause = [this](int64_t ms) { pauses_.push_back(ms); };
    return options;
  }
  std::vector<Seen> seen() {
    std::lock_guard lock(mutex_);
    return seen_;
  }
  std::vector<std::string> lines() {
    std::vector<std::string> all;
    for (const Seen& request : seen()) all.push_back(request.line);
    return all;
  }
  const std::vector<int64_t>& pauses() const { return pauses_; }

 private:
  void Serve() {
    for (const Answer& answer : answers_) {
      int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      bool head_request = Receive(fd);
      if (answer.status != 0) {
        std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " X\r\nConnection: close\r\n" + answer.headers;
        if (answer.headers.find("Content-Length") == std::string::npos) {
          text += "Content-Length: " + std::to_string(answer.body.size()) + "\r\n";
        }
        text += "\r\n" + (head_request ? "" : answer.body);
        static_cast<void>(::send(fd, text.data(), text.size(), MSG_NOSIGNAL));
      }
      ::close(fd);
    }
  }

  bool Receive(int fd) {
    std::string text;
    size_t head_end = std::string::npos, wanted = 0;
    std::vector<char> space(1 << 16);
    while (head_end == std::string::npos || text.size() < head_end + 4 + wanted) {
      ssize_t got = ::recv(fd, space.data(), space.size(), 0);
      if (got <= 0) break;
      text.append(space.data(), static_cast<size_t>(got));
      if (head_end != std::string::npos) continue;
      head_end = text.find("\r\n\r\n");
      if (size_t at = text.find("Content-Length: "); at < head_end) wanted = std::stoul(text.substr(at + 16));
    }
    Seen request;
    request.line = text.substr(0, text.find(" HTTP/1.1"));
    request.headers = text.substr(0, head_end);
    request.body = text.substr(head_end + 4);
    std::lock_guard lock(mutex_);
    seen_.push_back(request);
    return request.line.starts_with("HEAD");
  }

  const std::vector<Answer> answers_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::mutex mutex_;
  std::vector<Seen> seen_;
  std::vector<int64_t> pauses_;
  std::thread thread_;
};

Answer Listing(const std::string& content, const std::string& next = "") {
  std::string end = next.empty()
                        ? "<IsTruncated>false</IsTruncated>"
                        : "<IsTruncated>true</IsTruncated><NextContinuationToken>" + next + "</NextContinuationToken>";
  return {200, "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\"><Name>b</Name><Prefix>p/</Prefix>" + content +
                   end + "</ListBucketResult>"};
}
std::string Object(const std::string& key, int size = 1) {
  return "<Contents><Key>" + key + "</Key><Size>" + std::to_string(size) + "</Size></Contents>";
}
std::string Common(const std::string& prefix) {
  return "<CommonPrefixes><Prefix>" + prefix + "</Prefix></CommonPrefixes>";
}

TEST(LocationTest, PathsAreCleaned) {
  EXPECT_EQ(CleanUri("s3://b"), "s3://b");
  EXPECT_EQ(CleanUri("s3://b/"), "s3://b/");
  EXPECT_EQ(CleanUri("s3://b//a/./c/../d//"), "s3://b/a/d/");
  EXPECT_EQ(CleanUri("s3://b/../../x"), "s3://b/x");
  EXPECT_EQ(CleanUri("/local//x"), "/local//x");
  auto location = ParseLocation("s3://b/a//c/");
  ASSERT_TRUE(location);
  EXPECT_EQ(location->bucket, "b");
  EXPECT_EQ(location->key, "a/c");
  EXPECT_TRUE(location->directory);
  EXPECT_EQ(location->Prefix(), "a/c/");
  EXPECT_FALSE(ParseLocation("s3:///key"));
  EXPECT_FALSE(ParseLocation("gs://b/key"));
  EXPECT_FALSE(ParseFile("s3://b"));
  EXPECT_FALSE(ParseFile("s3://b/directory/"));
  EXPECT_TRUE(ParseFile("s3://b/file"));
}

TEST(LocationTest, CleaningTwiceChangesNothingMore) {
  rc::check([] {
    std::string uri = "s3://b";
    for (int i = *rc::gen::inRange(0, 8); i > 0; --i) {
      uri += *rc::gen::element<std::string>("/", "/.", "/..", "/a", "/b c", "//", "/...");
    }
    std::string clean = CleanUri(uri);
    RC_ASSERT(CleanUri(clean) == clean);
    RC_ASSERT(clean.find("//", 5) == std::string::npos);
    RC_ASSERT(ParseLocation(uri).has_value());
  });
}

TEST(LocationTest, GlobsStopAtSlashes) {
  EXPECT_TRUE(GlobMatches("s3://b/ckpt-?.data-*", "s3://b/ckpt-1.data-0"));
  EXPECT_FALSE(GlobMatches("s3://b/*", "s3://b/a/c"));
  EXPECT_TRUE(GlobMatches("s3://b/[^x]", "s3://b/y"));
  EXPECT_FALSE(GlobMatches("s3://b/[^x]", "s3://b/x"));
  EXPECT_EQ(LiteralPrefix("s3://b/a*c"), "s3://b/a");
}

TEST(SettingsTest, AnEndpointWithASchemeWinsOverForcedTls) {
  std::map<std::string, std::string> variables = {
      {"AWS_ACCESS_KEY_ID", "k"}, {"AWS_SECRET_ACCESS_KEY", "s"}, {"S3_USE_HTTPS", "1"}};
  auto read = [&] { return ReadSettings([&](const char* name) { return variables[name]; }); };
  auto none = read();
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("AWS_ENDPOINT_URL"));
  variables["S3_ENDPOINT"] = "elsewhere:9";
  EXPECT_TRUE(read()->tls);
  EXPECT_EQ(read()->Authority(), "elsewhere:9");
  variables["S3_USE_HTTPS"] = "0";
  EXPECT_FALSE(read()->tls);
  EXPECT_EQ(read()->Authority(), "elsewhere:9");
  variables["S3_USE_HTTPS"] = "1";
  variables["S3_ENDPOINT_URL"] = "http://third/";
  EXPECT_FALSE(read()->tls);
  EXPECT_EQ(read()->port, 80);
  EXPECT_EQ(read()->Authority(), "third");
  variables["AWS_ENDPOINT_URL"] = "http://127.83.66.1:9000";
  EXPECT_EQ(read()->Authority(), "127.83.66.1:9000");
  variables["AWS_ENDPOINT_URL_S3"] = "http://[::1]:8";
  EXPECT_EQ(read()->Authority(), "[::1]:8");
  EXPECT_EQ(read()->region, "us-east-1");
  variables["S3_REGION"] = "eu-west-1";
  EXPECT_EQ(read()->region, "eu-west-1");
  for (const char* bad : {"ftp://x", "http://", "https://", "https://x/path", "http://x:0", "http://x:y",
                          "http://x/path", "http://[::1"}) {
    variables["AWS_ENDPOINT_URL_S3"] = bad;
    EXPECT_FALSE(read()) << bad;
  }
  variables["AWS_ENDPOINT_URL_S3"] = "";
  variables["AWS_ACCESS_KEY_ID"] = "";
  EXPECT_EQ(read().error().kind, ErrorKind::kUnauthenticated);
}

TEST(SettingsTest, TlsHasItsPortAndItsAuthorities) {
  std::map<std::string, std::string> variables = {{"AWS_ACCESS_KEY_ID", "k"},
                                                  {"AWS_SECRET_ACCESS_KEY", "s"},
                                                  {"AWS_ENDPOINT_URL", "https://s3.example"},
                                                  {"S3_USE_HTTPS", "0"}};
  auto read = [&] { return *ReadSettings([&](const char* name) { return variables[name]; }); };
  EXPECT_TRUE(read().tls);
  EXPECT_TRUE(read().verify);
  EXPECT_EQ(read().port, 443);
  EXPECT_EQ(read().Authority(), "s3.example");
  EXPECT_EQ(read().ca_file, "");
  variables["AWS_CA_BUNDLE"] = "/bundle";
  EXPECT_EQ(read().ca_file, "/bundle");
  variables["S3_CA_FILE"] = "/own";
  EXPECT_EQ(read().ca_file, "/own");
  for (const char* off : {"0", "false"}) {
    variables["S3_VERIFY_SSL"] = off;
    EXPECT_FALSE(read().verify);
  }
}

TEST(XmlTest, FindsElementsAndText) {
  std::string_view xml = "<R><Key>a</Key><Keys/><Key x='1'>b&amp;&#x20AC;&lt;</Key><Key/></R>";
  EXPECT_THAT(Elements(xml, "Key"), ElementsAre("a", "b&amp;&#x20AC;&lt;", ""));
  EXPECT_EQ(XmlText("b&amp;&#x20AC;&lt;&#65;&bad;&"), "b&\u20AC<A&bad;&");
  EXPECT_EQ(Element(xml, "None"), "");
  EXPECT_EQ(Element("<Key", "Key"), "");
  EXPECT_EQ(Element("<Key>cut", "Key"), "");
}

TEST(XmlTest, TextSurvivesTheRoundTrip) {
  rc::check(
      [](const std::string& text) { RC_ASSERT(XmlText(XmlEscape(text)) == text || text.find('\0') != text.npos); });
}

TEST(S3ClientTest, TriesAgainWithGrowingPausesAndThenSucceeds) {
  ScriptedS3 server({{503}, {0}, {500}, {200, "", "Content-Length: 12\r\nETag: \"e\"\r\n"}});
  S3Client client(server.Options());
  auto info = client.Head({"b", "key with space+"});
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ((*info)->size, 12u);
  EXPECT_EQ((*info)->etag, "\"e\"");
  EXPECT_THAT(server.pauses(), ElementsAre(50, 100, 200));
  EXPECT_EQ(server.lines()[3], "HEAD /b/key%20with%20space%2B");
  EXPECT_THAT(server.seen()[3].headers, HasSubstr("Authorization: AWS4-HMAC-SHA256 Credential=key/"));
}

TEST(S3ClientTest, GivesUpWithAMessage) {
  ScriptedS3 server({{503}, {503}});
  S3Client::Options options = server.Options();
  options.attempts = 2;
  S3Client client(options);
  auto put = client.Put({"b", "k"}, "body");
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().kind, ErrorKind::kUnavailable);
  EXPECT_THAT(put.error().message, HasSubstr("s3://b/k"));
}

TEST(S3ClientTest, RefusalsAreNotRepeatedAndCarryTheServersWords) {
  ScriptedS3 server({{403, "<Error><Code>AccessDenied</Code><Message>Not &amp; yours</Message></Error>"}});
  S3Client client(server.Options());
  auto got = client.Get({"b", "k"}, 0, 10);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().kind, ErrorKind::kPermissionDenied);
  EXPECT_THAT(got.error().message, HasSubstr("AccessDenied: Not & yours"));
  EXPECT_THAT(server.pauses(), IsEmpty());
}

TEST(S3ClientTest, ALostAnswerToCompleteIsRecognised) {
  std::string gone = "<Error><Code>NoSuchUpload</Code><Message>no</Message></Error>";
  ScriptedS3 server({{0},
                     {404, gone},
                     {200, "", "Content-Length: 12\r\nETag: \"abc-2\"\r\n"},
                     {404, gone},
                     {200, "", "Content-Length: 12\r\nETag: \"other\"\r\n"}});
  S3Client client(server.Options());
  EXPECT_TRUE(client.CompleteUpload({"b", "k"}, "u", {"\"1\"", "\"2\""}, 12));
  EXPECT_FALSE(client.CompleteUpload({"b", "k"}, "u", {"\"1\"", "\"2\""}, 12));
}

TEST(FileSystemTest, ListsEveryPageOnce) {
  ScriptedS3 server({Listing(Object("p/") + Object("p/a%20b") + Common("p/dir/"), "t&amp;1"),
                     Listing(Object("p/dir2") + Common("p/dir2/"))});
  S3Client client(server.Options());
  auto names = FileSystem(client).Children("s3://b/p");
  ASSERT_TRUE(names) << names.error().message;
  EXPECT_THAT(*names, ElementsAre("a b", "dir", "dir2"));
  EXPECT_THAT(server.lines()[1], HasSubstr("continuation-token=t%261"));
}

TEST(FileSystemTest, ADirectoryWithContentIsNotDeleted) {
  ScriptedS3 server({Listing(Object("p/") + Object("p/x")), Listing(Object("p/")), {204}, Listing(""), {404}});
  S3Client client(server.Options());
  FileSystem files(client);
  EXPECT_EQ(files.DeleteDirectory("s3://b/p").error().kind, ErrorKind::kFailedPrecondition);
  EXPECT_TRUE(files.DeleteDirectory("s3://b/p/"));
  EXPECT_EQ(server.lines()[2], "DELETE /b/p/");
  EXPECT_EQ(files.DeleteDirectory("s3://b/p").error().kind, ErrorKind::kNotFound);
}

TEST(FileSystemTest, TreesAreDeletedInBatchesAndWhatRemainsIsCounted) {
  ScriptedS3 server({{404},
                     Listing(Object("p/a%26") + Object("p/b")),
                     {200, "<DeleteResult><Error><Key>p/b</Key><Message>locked</Message></Error></DeleteResult>"}});
  S3Client client(server.Options());
  uint64_t remaining = 0;
  auto deleted = FileSystem(client).DeleteTree("s3://b/p", remaining);
  ASSERT_FALSE(deleted);
  EXPECT_EQ(remaining, 1u);
  EXPECT_THAT(deleted.error().message, HasSubstr("s3://b/p/b could not be deleted: locked"));
  EXPECT_THAT(server.seen()[2].body, HasSubstr("<Key>p/a&amp;</Key>"));
  EXPECT_THAT(server.seen()[2].headers, HasSubstr("Content-MD5: " + Base64Encode(Md5(server.seen()[2].body))));
}

TEST(FileSystemTest, RenameCopiesEverythingBeforeItDeletes) {
  ScriptedS3 server({{404}, Listing(Object("p/a") + Object("p/b")), {200}, {400}});
  S3Client client(server.Options());
  EXPECT_FALSE(FileSystem(client).Rename("s3://b/p", "s3://b/q"));
  for (const std::string& line : server.lines()) EXPECT_THAT(line, Not(StartsWith("DELETE")));
  EXPECT_EQ(server.lines()[2], "PUT /b/q/a");
  EXPECT_THAT(server.seen()[2].headers, HasSubstr("x-amz-copy-source: b/p/a"));
  EXPECT_EQ(FileSystem(client).Rename("s3://b/p/", "s3://b/p/q").error().kind, ErrorKind::kFailedPrecondition);
}

TEST(FileSystemTest, GlobsListOneLevelWhereTheyCan) {
  ScriptedS3 server({Listing(Object("d/ckpt-1") + Object("d/ckpt-2") + Common("d/ckpt-3/")),
                     Listing(Object("x/1/deep/f") + Object("x/2/deep/"))});
  S3Client client(server.Options());
  EXPECT_THAT(*FileSystem(client).Matching("s3://b/d/ckpt-?"),
              ElementsAre("s3://b/d/ckpt-1", "s3://b/d/ckpt-2", "s3://b/d/ckpt-3"));
  EXPECT_THAT(server.lines()[0], HasSubstr("prefix=d%2Fckpt-&delimiter=%2F"));
  EXPECT_THAT(*FileSystem(client).Matching("s3://b/x/*/deep"), ElementsAre("s3://b/x/1/deep", "s3://b/x/2/deep"));
  EXPECT_THAT(server.lines()[1], Not(HasSubstr("delimiter")));
  EXPECT_FALSE(FileSystem(client).Matching("s3://*/x"));
}

TEST(ReaderTest, ReadsAheadAndSeesAFileGrow) {
  ScriptedS3 server({{206, "0123456789"}, {416}, {206, "abc"}});
  S3Client client(server.Options());
  auto reader = Reader::Open(client, {"b", "k"});
  ASSERT_TRUE(reader);
  char out[16] = {};
  EXPECT_EQ((*reader)->Read(2, 3, out).value(), 3u);
  EXPECT_EQ(std::string_view(out, 3), "234");
  EXPECT_EQ((*reader)->Read(8, 5, out).value(), 2u);  // asks once more behind the end
  EXPECT_EQ((*reader)->Read(10, 3, out).value(), 3u);
  EXPECT_EQ(std::string_view(out, 3), "abc");
  EXPECT_THAT(server.seen()[2].headers, HasSubstr("Range: bytes=10-"));
}

TEST(WriterTest, SmallFilesAreOnePutAndFlushShowsThem) {
  ScriptedS3 server({{200}, {200}});
  S3Client client(server.Options());
  auto writer = Writer::Create(client, {"b", "k"});
  ASSERT_TRUE(writer->Write("one"));
  ASSERT_TRUE(writer->Flush());
  ASSERT_TRUE(writer->Flush());  // nothing new: no request
  ASSERT_TRUE(writer->Write(" two"));
  ASSERT_TRUE(writer->Close());
  EXPECT_EQ(writer->size(), 7u);
  writer.reset();
  ASSERT_THAT(server.lines(), ElementsAre("PUT /b/k", "PUT /b/k"));
  EXPECT_EQ(server.seen()[1].body, "one two");
}

TEST(WriterTest, LargeFilesGoInPartsAndShowAtTheEnd) {
  Answer begun{200, "<R><UploadId>u1</UploadId></R>"};
  ScriptedS3 server({begun,
                     {200, "", "ETag: \"1\"\r\n"},
                     {200, "", "ETag: \"2\"\r\n"},
                     {200, "<R/>"},
                     begun,
                     {200, "<R><ETag>\"c\"</ETag></R>"},
                     {200, "", "ETag: \"3\"\r\n"},
                     {200, "<R/>"}});
  S3Client client(server.Options());
  auto writer = Writer::Create(client, {"b", "k"});
  ASSERT_TRUE(writer->Write(std::string(9 << 20, 'x')));
  ASSERT_TRUE(writer->Flush());  // a flush doesn't end an upload
  EXPECT_EQ(server.lines().size(), 2u);
  ASSERT_TRUE(writer->Commit());
  EXPECT_EQ(server.seen()[2].body.size(), size_t{1} << 20);
  EXPECT_THAT(server.seen()[3].body, HasSubstr("<PartNumber>2</PartNumber><ETag>\"2\"</ETag>"));
  ASSERT_TRUE(writer->Write("more"));  // goes on from what is committed, copied by the server
  ASSERT_TRUE(writer->Close());
  EXPECT_THAT(server.seen()[5].headers, HasSubstr("x-amz-copy-source-range: bytes=0-9437183"));
  EXPECT_EQ(server.seen()[6].body, "more");
  EXPECT_EQ(writer->size(), (size_t{9} << 20) + 4);
}

TEST(WriterTest, AFailedUploadIsAbortedAndTheErrorStays) {
  ScriptedS3 server({{200, "<R><UploadId>u1</UploadId></R>"}, {403}, {204}});
  S3Client client(server.Options());
  auto writer = Writer::Create(client, {"b", "k"});
  EXPECT_FALSE(writer->Write(std::string(8 << 20, 'x')));
  EXPECT_FALSE(writer->Write("y"));
  EXPECT_FALSE(writer->Close());
  writer.reset();
  EXPECT_THAT(server.lines().back(), StartsWith("DELETE /b/k?uploadId=u1"));
}

}  // namespace
}  // namespace sagebrush::tfs3
