#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "wire/sigv4.h"

namespace sagebrush::tfs3 {

// Where S3 is and as whom to call it.
struct Settings {
  bool tls = false;
  bool verify = true;   // the server's certificate
  std::string ca_file;  // of the authorities that count; empty for the system's
  std::string host;     // without brackets
  uint16_t port = 0;
  std::string region;
  wire::Credentials credentials;

  // As the Host header has it: without the scheme's own port.
  std::string Authority() const;
};

// The value of an environment variable; "" when it is not set.
using Environment = std::function<std::string(const char* name)>;
std::string ProcessEnvironment(const char* name);

// Read at every request, so that credentials which a script renews in its environment count at once.
//   endpoint: the first set of AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, S3_ENDPOINT_URL, S3_ENDPOINT. A scheme in it wins
//     over S3_USE_HTTPS, which scripts made for the hosted service force to 1; without a scheme S3_USE_HTTPS=0 makes it
//     plain HTTP, anything else TLS.
//   TLS: authorities are those in the file S3_CA_FILE or AWS_CA_BUNDLE, else the system's. S3_VERIFY_SSL=0 takes any
//     certificate.
//   region: AWS_REGION, AWS_DEFAULT_REGION, S3_REGION, us-east-1.
// Errors: kFailedPrecondition without an endpoint or with a malformed one, kUnauthenticated without credentials.
Result<Settings> ReadSettings(const Environment& environment = ProcessEnvironment);

}  // namespace sagebrush::tfs3
