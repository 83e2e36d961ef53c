#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/client.h"
#include "tfs3/location.h"
#include "tfs3/settings.h"

namespace sagebrush::tfs3 {

struct ObjectInfo {
  uint64_t size = 0;
  int64_t modified_ns = 0;
  std::string etag;
};

struct ListPage {
  std::vector<std::pair<std::string, uint64_t>> objects;  // key, size
  std::vector<std::string> prefixes;                      // with their slash
  std::string next;                                       // continuation token; "" at the end
};

// S3 as the file system needs it: path-style, signed calls, each tried again with growing pauses (about half a minute
// in all, so that a restart of the engine goes unnoticed) when the connection broke or the answer was 429 or 5xx. Keys
// are taken as they are: that of a directory's marker ends in a slash. Thread-safe: a call takes an idle connection or
// opens one. After a fork the child drops the connections it inherited.
class S3Client {
 public:
  struct Options {
    Environment environment = ProcessEnvironment;
    int attempts = 12;
    std::function<void(int64_t ms)> pause;  // between attempts; empty: really waits
  };
  explicit S3Client(Options options);

  Result<bool> BucketExists(const std::string& bucket);
  Result<std::optional<ObjectInfo>> Head(const Location& object);
  // Bytes from `offset`, at most `length` of them; fewer only at the end of the object.
  Result<std::string> Get(const Location& object, uint64_t offset, uint64_t length);
  Result<void> Put(const Location& object, std::string_view body);
  Result<void> Delete(const std::string& bucket, const std::string& key);
  // At most 1000 keys. The number that could not be deleted; `reason` tells why.
  Result<uint64_t> DeleteMany(const std::string& bucket, const std::vector<std::string>& keys, std::string& reason);
  // Keys that begin with `prefix`; those with a further slash are folded into prefixes when `folded`.
  Result<ListPage> List(const std::string& bucket, const std::string& prefix, bool folded, int most,
                        const std::string& token);
  // On the server, in parts when the source is larger than one copy may be.
  Result<void> Copy(const Location& from, uint64_t size, const Location& to);

  Result<std::string> BeginUpload(const Location& object);
  Result<std::string> UploadPart(const Location& object, const std::string& upload, int number, std::string_view body);
  Result<std::string> CopyPart(const Location& object, const std::string& upload, int number, const Location& from,
                               uint64_t offset, uint64_t length);
  // `size` is the whole object's: a repeated call whose first answer was lost is recognised by it.
  Result<void> CompleteUpload(const Location& object, const std::string& upload, const std::vector<std::string>& etags,
                              uint64_t size);
  Result<void> AbortUpload(const Location& object, const std::string& upload);

 private:
  struct Call {
    std::string method;
    std::string bucket;
    std::string key;
    std::vector<std::pair<std::string, std::string>> query;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string_view body;
  };
  Result<http::ClientResponse> Perform(const Call& call);
  Result<http::ClientResponse> Attempt(const Call& call, const Settings& settings, const std::string& payload_hash);
  // Perform, and every status but 2xx is an error.
  Result<http::ClientResponse> Succeed(const Call& call);
  static Error Refused(const Call& call, const http::ClientResponse& response);

  std::optional<http::Client> TakeIdle(const std::string& server);
  // Loaded once: reading the system's authorities takes longer than a call.
  Result<std::shared_ptr<const http::TlsTrust>> TrustOf(const Settings& settings);
  void GiveBack(const std::string& server, http::Client client);

  Options options_;
  std::mutex mutex_;
  int process_ = 0;                                         // that the idle connections belong to
  std::vector<std::pair<std::string, http::Client>> idle_;  // with the server each leads to
  std::map<std::pair<bool, std::string>, std::shared_ptr<const http::TlsTrust>> trusts_;  // by verify and ca_file
};

}  // namespace sagebrush::tfs3
