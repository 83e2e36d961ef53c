#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"

struct ssl_ctx_st;
struct ssl_st;

namespace sagebrush::http {

// The engine's own certificate authority: directory/ca.pem (0644, for clients to trust) and directory/ca.key (0600).
// Made at the first start, read at later ones; EC P-256, ten years. Certificates for the hosts that clients ask for
// are minted in memory, with one key per process, and cached. Thread-safe after Open.
// A crash while the pair is made leaves at most a key without a certificate, which the next start replaces.
class CertificateAuthority {
 public:
  // kFailedPrecondition for a key that others can read, or that does not belong to the certificate.
  static Result<std::unique_ptr<CertificateAuthority>> Open(const std::filesystem::path& directory,
                                                            const std::string& this_host);
  ~CertificateAuthority();
  CertificateAuthority(const CertificateAuthority&) = delete;

  const std::filesystem::path& certificate_file() const { return certificate_file_; }
  const std::string& certificate_pem() const { return certificate_pem_; }

  // Writes the system's CA bundle (SSL_CERT_FILE, else /etc/ssl/certs/ca-certificates.crt) followed by ours: a file
  // for AWS_CA_BUNDLE and REQUESTS_CA_BUNDLE that trusts the engine and everyone else trusted before.
  Result<void> WriteBundle(const std::filesystem::path& file) const;

  // A server context, TLS 1.2 or newer, that presents a certificate for the name the client asks for (SNI), else for
  // the SSL's default host. Owned by this object.
  ssl_ctx_st* server_context() const;

 private:
  struct State;
  explicit CertificateAuthority(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
  std::filesystem::path certificate_file_;
  std::string certificate_pem_;
};

// The host to present on this connection when the client sends no SNI (as for an IP address). *host must outlive it.
void SetDefaultHost(ssl_st* ssl, const std::string* host);

}  // namespace sagebrush::http
