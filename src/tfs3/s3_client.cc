#include "tfs3/s3_client.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "tfs3/xml.h"

namespace sagebrush::tfs3 {
namespace {

constexpr uint64_t kMostOfOneCopy = uint64_t{5} << 30;
constexpr uint64_t kCopyPart = uint64_t{1} << 30;
constexpr size_t kMostIdle = 16;
constexpr int64_t kFirstPauseMs = 50, kLongestPauseMs = 4'000;
constexpr auto kCallDeadline = std::chrono::milliseconds(120'000);

void Wait(int64_t ms) { ::poll(nullptr, 0, static_cast<int>(ms)); }

bool IsTransient(int status) {
  return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

bool IsTransient(const Error& error) {
  return error.kind == ErrorKind::kUnavailable || error.kind == ErrorKind::kDeadlineExceeded ||
         error.kind == ErrorKind::kDataLoss;
}

ErrorKind KindOf(int status, std::string_view code) {
  if (code == "ExpiredToken" || code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch") {
    return ErrorKind::kUnauthenticated;
  }
  switch (status) {
    case 400:
      return ErrorKind::kInvalidArgument;
    case 401:
      return ErrorKind::kUnauthenticated;
    case 403:
      return ErrorKind::kPermissionDenied;
    case 404:
      return ErrorKind::kNotFound;
    case 409:
    case 412:
      return ErrorKind::kFailedPrecondition;
    case 501:
      return ErrorKind::kUnsupported;
    case 507:
      return ErrorKind::kResourceExhausted;
    default:
      return status >= 500 || status == 429 ? ErrorKind::kUnavailable : ErrorKind::kInternal;
  }
}

std::string QueryString(const std::vector<std::pair<std::string, std::string>>& query) {
  std::string text;
  for (const auto& [name, value] : query) {
    text += (text.empty() ? "?" : "&") + UriEncode(name) + "=" + UriEncode(value);
  }
  return text;
}

// Sat, 31 Jan 2026 12:34:56 GMT, whatever the process's locale; 0 when it is something else.
int64_t ParseHttpDate(std::string_view text) {
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  char month[4] = {};
  int day = 0, year = 0, hour = 0, minute = 0, second = 0;
  if (std::sscanf(std::string(text).c_str(), "%*3s, %2d %3s %4d %2d:%2d:%2d", &day, month, &year, &hour, &minute,
                  &second) != 6) {
    return 0;
  }
  size_t at = kMonths.find(month);
  if (at == std::string_view::npos || at % 3 != 0) return 0;
  std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(at / 3 + 1)),
                                   std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return 0;
  int64_t seconds = std::chrono::sys_days(date).time_since_epoch().count() * int64_t{86'400};
  return (seconds + hour * 3'600 + minute * 60 + second) * 1'000'000'000;
}

// Connections of equal text may stand in for each other.
std::string ServerOf(const Settings& settings) {
  std::string address = settings.Authority();
  if (!settings.tls) return "http://" + address;
  return "https://" + address + (settings.verify ? " trusting " + settings.ca_file : " unverified");
}

std::string CopySource(const Location& from) { return UriEncode(from.bucket + "/" + from.key, true); }

}  // namespace

S3Client::S3Client(Options options) : options_(std::move(options)) {
  if (!options_.pause) options_.pause = Wait;
}

std::optional<http::Client> S3Client::TakeIdle(const std::string& server) {
  std::lock_guard lock(mutex_);
  if (process_ != ::getpid()) {
    idle_.clear();
    process_ = ::getpid();
  }
  auto it = std::ranges::find(idle_, server, [](const auto& entry) { return entry.first; });
  if (it == idle_.end()) return std::nullopt;
  http::Client client = std::move(it->second);
  idle_.erase(it);
  return client;
}

void S3Client::GiveBack(const std::string& server, http::Client client) {
  std::lock_guard lock(mutex_);
  if (process_ == ::getpid() && idle_.size() < kMostIdle) idle_.emplace_back(server, std::move(client));
}

Result<std::shared_ptr<const http::TlsTrust>> S3Client::TrustOf(const Settings& settings) {
  std::lock_guard lock(mutex_);
  std::shared_ptr<const http::TlsTrust>& trust = trusts_[{settings.verify, settings.ca_file}];
  if (trust == nullptr) {
    TRY(trust, http::TlsTrust::Load(settings.ca_file, settings.verify));
  }
  return trust;
}

Result<http::ClientResponse> S3Client::Attempt(const Call& call, const Settings& settings,
                                               const std::string& payload_hash) {
  wire::SignableRequest signable{call.method, "/" + call.bucket, call.query, call.headers};
  if (!call.key.empty()) signable.path += "/" + UriEncode(call.key, true);
  signable.headers.emplace_back("Host", settings.Authority());
  wire::Sign(signable, settings.credentials, settings.region, "s3", payload_hash, WallClockMs());
  http::ClientRequest request;
  request.method = call.method;
  request.target = signable.path + QueryString(call.query);
  for (auto& [name, value] : signable.headers) request.headers.Add(std::move(name), std::move(value));
  request.body = call.body;

  std::string server = ServerOf(settings);
  std::optional<http::Client> client = TakeIdle(server);
  if (!client) {
    http::ClientOptions options;
    options.deadline = kCallDeadline;
    options.server = "S3";
    if (settings.tls) {
      TRY(std::shared_ptr<const http::TlsTrust> trust, TrustOf(settings));
      client = http::Client::ForTls(settings.host, settings.port, std::move(trust), options);
    } else {
      client = http::Client::ForTcp(settings.host, settings.port, options);
    }
  }
  Result<http::ClientResponse> response = client->Call(request);
  if (response) GiveBack(server, *std::move(client));
  return response;
}

Result<http::ClientResponse> S3Client::Perform(const Call& call) {
  std::string payload_hash = HexEncode(Sha256(call.body));
  int64_t pause_ms = kFirstPauseMs;
  for (int attempt = 1;; ++attempt) {
    TRY(Settings settings, ReadSettings(options_.environment));
    Result<http::ClientResponse> response = Attempt(call, settings, payload_hash);
    bool again = response ? IsTransient(response->status) : IsTransient(response.error());
    if (!again || attempt >= options_.attempts) {
      if (response) return response;
      std::string what = call.method + " s3://" + call.bucket + "/" + call.key;
      if (again) what += " failed " + std::to_string(attempt) + " times";
      return Fail(std::move(response).error().Because(what));
    }
    options_.pause(pause_ms);
    pause_ms = std::min(2 * pause_ms, kLongestPauseMs);
  }
}

Error S3Client::Refused(const Call& call, const http::ClientResponse& response) {
  std::string code = XmlText(Element(response.body, "Code")), message = XmlText(Element(response.body, "Message"));
  if (message.empty() && response.status == 403) message = "the credentials in the environment don't allow it";
  std::string text = call.method + " s3://" + call.bucket + (call.key.empty() ? "" : "/" + call.key) +
                     " was answered with HTTP " + std::to_string(response.status);
  if (!code.empty()) text += " " + code;
  if (!message.empty()) text += ": " + message;
  return Error(KindOf(response.status, code), std::move(text), code);
}

Result<http::ClientResponse> S3Client::Succeed(const Call& call) {
  TRY(http::ClientResponse response, Perform(call));
  if (response.status / 100 != 2) return Fail(Refused(call, response));
  return response;
}

Result<bool> S3Client::BucketExists(const std::string& bucket) {
  Call call{"HEAD", bucket};
  TRY(http::ClientResponse response, Perform(call));
  if (response.status == 404) return false;
  if (response.status / 100 != 2) return Fail(Refused(call, response));
  return true;
}

Result<std::optional<ObjectInfo>> S3Client::Head(const Location& object) {
  Call call{"HEAD", object.bucket, object.key};
  TRY(http::ClientResponse response, Perform(call));
  if (response.status == 404) return std::nullopt;
  if (response.status / 100 != 2) return Fail(Refused(call, response));
  ObjectInfo info;
  info.size = static_cast<uint64_t>(ParseInt(response.headers.Get("Content-Length")).value_or(0));
  info.modified_ns = ParseHttpDate(response.headers.Get("Last-Modified"));
  info.etag = response.headers.Get("ETag");
  return info;
}

Result<std::string> S3Client::Get(const Location& object, uint64_t offset, uint64_t length) {
  if (length == 0) return "";
  std::string range = "bytes=" + std::to_string(offset) + "-" + std::to_string(offset + length - 1);
  Call call{"GET", object.bucket, object.key, {}, {{"Range", range}}};
  TRY(http::ClientResponse response, Perform(call));
  if (response.status == 416) return "";
  if (response.status == 206) return std::move(response.body);
  if (response.status != 200) return Fail(Refused(call, response));
  // A server that ignores ranges sends everything.
  return offset >= response.body.size() ? "" : response.body.substr(offset, length);
}

Result<void> S3Client::Put(const Location& object, std::string_view body) {
  TRYV(Succeed({"PUT", object.bucket, object.key, {}, {{"Content-Type", "application/octet-stream"}}, body}));
  return {};
}

Result<void> S3Client::Delete(const std::string& bucket, const std::string& key) {
  TRYV(Succeed({"DELETE", bucket, key}));
  return {};
}

Result<uint64_t> S3Client::DeleteMany(const std::string& bucket, const std::vector<std::string>& keys,
                                      std::string& reason) {
  if (keys.empty()) return 0;
  std::string body = "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>";
  for (const std::string& key : keys) body += "<Object><Key>" + XmlEscape(key) + "</Key></Object>";
  body += "</Delete>";
  TRY(http::ClientResponse response,
      Succeed({"POST", bucket, "", {{"delete", ""}}, {{"Content-MD5", Base64Encode(Md5(body))}}, body}));
  std::vector<std::string_view> failures = Elements(response.body, "Error");
  if (!failures.empty()) {
    reason = "s3://" + bucket + "/" + XmlText(Element(failures[0], "Key")) +
             " could not be deleted: " + XmlText(Element(failures[0], "Message"));
  }
  return failures.size();
}

Result<ListPage> S3Client::List(const std::string& bucket, const std::string& prefix, bool folded, int most,
                                const std::string& token) {
  Call call{"GET", bucket};
  call.query = {{"encoding-type", "url"}, {"list-type", "2"}, {"max-keys", std::to_string(most)}, {"prefix", prefix}};
  if (folded) call.query.emplace_back("delimiter", "/");
  if (!token.empty()) call.query.emplace_back("continuation-token", token);
  TRY(http::ClientResponse response, Succeed(call));
  ListPage page;
  auto decoded = [](std::string_view raw) {
    std::string text = XmlText(raw);
    return UriDecode(text, true).value_or(text);
  };
  for (std::string_view object : Elements(response.body, "Contents")) {
    page.objects.emplace_back(decoded(Element(object, "Key")),
                              static_cast<uint64_t>(ParseInt(Element(object, "Size")).value_or(0)));
  }
  for (std::string_view common : Elements(response.body, "CommonPrefixes")) {
    page.prefixes.push_back(decoded(Element(common, "Prefix")));
  }
  if (Element(response.body, "IsTruncated") == "true") {
    page.next = XmlText(Element(response.body, "NextContinuationToken"));
    if (page.next.empty()) return Fail(Internal("The listing of s3://" + bucket + " broke off without a token."));
  }
  return page;
}

Result<void> S3Client::Copy(const Location& from, uint64_t size, const Location& to) {
  if (size <= kMostOfOneCopy) {
    Call call{"PUT", to.bucket, to.key, {}, {{"x-amz-copy-source", CopySource(from)}}};
    TRY(http::ClientResponse response, Succeed(call));
    // S3 may begin its answer before it knows how the copy ends.
    if (!Element(response.body, "Error").empty()) return Fail(Refused(call, response));
    return {};
  }
  TRY(std::string upload, BeginUpload(to));
  std::vector<std::string> etags;
  for (uint64_t offset = 0; offset < size; offset += kCopyPart) {
    Result<std::string> etag =
        CopyPart(to, upload, static_cast<int>(etags.size()) + 1, from, offset, std::min(kCopyPart, size - offset));
    if (!etag) {
      static_cast<void>(AbortUpload(to, upload));
      return Fail(std::move(etag).error());
    }
    etags.push_back(*std::move(etag));
  }
  return CompleteUpload(to, upload, etags, size);
}

Result<std::string> S3Client::BeginUpload(const Location& object) {
  Call call{"POST", object.bucket, object.key, {{"uploads", ""}}, {{"Content-Type", "application/octet-stream"}}};
  TRY(http::ClientResponse response, Succeed(call));
  std::string upload = XmlText(Element(response.body, "UploadId"));
  if (upload.empty()) return Fail(Internal("The answer to CreateMultipartUpload names no upload."));
  return upload;
}

Result<std::string> S3Client::UploadPart(const Location& object, const std::string& upload, int number,
                                         std::string_view body) {
  TRY(http::ClientResponse response, Succeed({"PUT",
                                              object.bucket,
                                              object.key,
                                              {{"partNumber", std::to_string(number)}, {"uploadId", upload}},
                                              {},
                                              body}));
  return std::string(response.headers.Get("ETag"));
}

Result<std::string> S3Client::CopyPart(const Location& object, const std::string& upload, int number,
                                       const Location& from, uint64_t offset, uint64_t length) {
  std::string range = "bytes=" + std::to_string(offset) + "-" + std::to_string(offset + length - 1);
  Call call{"PUT", object.bucket, object.key, {{"partNumber", std::to_string(number)}, {"uploadId", upload}}};
  call.headers = {{"x-amz-copy-source", CopySource(from)}, {"x-amz-copy-source-range", range}};
  TRY(http::ClientResponse response, Succeed(call));
  std::string etag = XmlText(Element(response.body, "ETag"));
  if (etag.empty()) return Fail(Refused(call, response));
  return etag;
}

Result<void> S3Client::CompleteUpload(const Location& object, const std::string& upload,
                                      const std::vector<std::string>& etags, uint64_t size) {
  std::string body = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (size_t i = 0; i < etags.size(); ++i) {
    body +=
        "<Part><PartNumber>" + std::to_string(i + 1) + "</PartNumber><ETag>" + XmlEscape(etags[i]) + "</ETag></Part>";
  }
  body += "</CompleteMultipartUpload>";
  Call call{"POST", object.bucket, object.key, {{"uploadId", upload}}, {}, body};
  TRY(http::ClientResponse response, Perform(call));
  std::string code = XmlText(Element(response.body, "Code"));
  if (response.status / 100 == 2 && code.empty()) return {};
  if (code == "NoSuchUpload") {
    TRY(std::optional<ObjectInfo> info, Head(object));
    bool ours =
        info && info->size == size && info->etag.find("-" + std::to_string(etags.size()) + "\"") != std::string::npos;
    if (ours) return {};
  }
  return Fail(Refused(call, response));
}

Result<void> S3Client::AbortUpload(const Location& object, const std::string& upload) {
  TRYV(Succeed({"DELETE", object.bucket, object.key, {{"uploadId", upload}}}));
  return {};
}

}  // namespace sagebrush::tfs3
