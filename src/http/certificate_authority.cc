#include "http/certificate_authority.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "io/file.h"

namespace sagebrush::http {
namespace fs = std::filesystem;
namespace {

template <auto kFree>
struct Freer {
  void operator()(auto* object) const { kFree(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using Context = std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>>;
using Memory = std::unique_ptr<BIO, Freer<BIO_free_all>>;

constexpr int64_t kDayMs = 24ll * 3600 * 1000;
constexpr int kAuthorityDays = 3652, kLeafDays = 90;
constexpr size_t kCachedLeaves = 1024;

Error OpenSslError(std::string_view what) {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  ERR_clear_error();
  return Internal(std::string(what) + ": " + text);
}

std::string Pem(auto write) {
  Memory memory(BIO_new(BIO_s_mem()));
  write(memory.get());
  char* data = nullptr;
  long size = BIO_get_mem_data(memory.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

bool AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  bool added = extension != nullptr && X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

// Version 3, random serial, valid from a day ago (clocks of containers lag).
Certificate NewCertificate(EVP_PKEY* key, const std::string& common_name, int days) {
  Certificate certificate(X509_new());
  std::string serial = RandomBytes(16);
  serial[0] = static_cast<char>((serial[0] & 0x7f) | 0x40);
  BIGNUM* number = BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()), 16, nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate.get()));
  BN_free(number);
  X509_set_version(certificate.get(), X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -24 * 3600);
  X509_time_adj_ex(X509_getm_notAfter(certificate.get()), days, 0, nullptr);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common_name.data()),
                             static_cast<int>(std::min<size_t>(common_name.size(), 64)), -1, 0);
  return certificate;
}

Result<Certificate> MakeAuthority(EVP_PKEY* key, const std::string& this_host) {
  // X.509 allows a common name of 64 characters.
  Certificate ca = NewCertificate(key, "Sagebrush " + this_host.substr(0, 45) + " local CA", kAuthorityDays);
  X509_set_issuer_name(ca.get(), X509_get_subject_name(ca.get()));
  if (!AddExtension(ca.get(), ca.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !AddExtension(ca.get(), ca.get(), NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !AddExtension(ca.get(), ca.get(), NID_subject_key_identifier, "hash") ||
      !AddExtension(ca.get(), ca.get(), NID_authority_key_identifier, "keyid:always") ||
      X509_sign(ca.get(), key, EVP_sha256()) == 0) {
    return Fail(OpenSslError("cannot make the certificate authority"));
  }
  return ca;
}

bool IsIpAddress(const std::string& host) {
  unsigned char address[16];
  return inet_pton(AF_INET, host.c_str(), address) == 1 || inet_pton(AF_INET6, host.c_str(), address) == 1;
}

// What may stand in a certificate's SAN without being read as OpenSSL's extension syntax.
bool IsHostName(const std::string& host) {
  return !host.empty() && host.size() <= 253 && std::ranges::all_of(host, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_';
  });
}

int DefaultHostIndex() {
  static const int kIndex = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return kIndex;
}

}  // namespace

struct CertificateAuthority::State {
  Key key, leaf_key;
  Certificate certificate;
  Context context;
  struct Leaf {
    Certificate certificate;
    int64_t made_ms;
  };
  std::mutex mutex;
  std::map<std::string, Leaf> leaves;  // by host; under mutex

  // The certificate for `host`, referenced once more for the caller; null when none can be made.
  Certificate LeafFor(const std::string& host);
  Certificate Mint(const std::string& host) const;
  static int Choose(SSL* ssl, void* state);
};

Certificate CertificateAuthority::State::LeafFor(const std::string& host) {
  std::lock_guard lock(mutex);
  auto found = leaves.find(host);
  if (found == leaves.end() || WallClockMs() - found->second.made_ms > kLeafDays / 2 * kDayMs) {
    // Clients choose the names; the cache must not grow with them.
    if (leaves.size() >= kCachedLeaves) leaves.clear();
    Certificate minted = Mint(host);
    if (minted == nullptr) return nullptr;
    found = leaves.insert_or_assign(host, Leaf{std::move(minted), WallClockMs()}).first;
  }
  X509_up_ref(found->second.certificate.get());
  return Certificate(found->second.certificate.get());
}

Certificate CertificateAuthority::State::Mint(const std::string& host) const {
  bool ip = IsIpAddress(host);
  if (!ip && !IsHostName(host)) return nullptr;
  std::string names = (ip ? "IP:" : "DNS:") + host;
  // Without SNI the client most likely reached us by a loopback address or as localhost.
  for (const char* loopback : {"DNS:localhost", "IP:127.0.0.1", "IP:::1"}) {
    if ((ip || host == "localhost") && names != loopback) names += std::string(",") + loopback;
  }
  Certificate leaf = NewCertificate(leaf_key.get(), host, kLeafDays);
  X509_set_issuer_name(leaf.get(), X509_get_subject_name(certificate.get()));
  if (!AddExtension(leaf.get(), certificate.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !AddExtension(leaf.get(), certificate.get(), NID_key_usage, "critical,digitalSignature") ||
      !AddExtension(leaf.get(), certificate.get(), NID_ext_key_usage, "serverAuth") ||
      !AddExtension(leaf.get(), certificate.get(), NID_subject_alt_name, names) ||
      !AddExtension(leaf.get(), certificate.get(), NID_subject_key_identifier, "hash") ||
      !AddExtension(leaf.get(), certificate.get(), NID_authority_key_identifier, "keyid:always") ||
      X509_sign(leaf.get(), key.get(), EVP_sha256()) == 0) {
    Log(LogLevel::kWarning, "certificate_not_minted", {{"host", host}, {"error", OpenSslError("mint").message}});
    return nullptr;
  }
  return leaf;
}

// OpenSSL calls this in the handshake when it needs the server's certificate.
int CertificateAuthority::State::Choose(SSL* ssl, void* state) {
  const char* sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  const auto* fallback = static_cast<const std::string*>(SSL_get_ex_data(ssl, DefaultHostIndex()));
  std::string host = sni != nullptr ? ToLower(sni) : fallback != nullptr ? *fallback : "localhost";
  auto* self = static_cast<State*>(state);
  Certificate leaf = self->LeafFor(host);
  if (leaf == nullptr) return 0;
  return SSL_use_certificate(ssl, leaf.get()) == 1 && SSL_use_PrivateKey(ssl, self->leaf_key.get()) == 1 ? 1 : 0;
}

void SetDefaultHost(ssl_st* ssl, const std::string* host) {
  SSL_set_ex_data(ssl, DefaultHostIndex(), const_cast<std::string*>(host));
}

namespace {

Result<void> MakePair(const fs::path& certificate_file, const fs::path& key_file, const std::string& this_host) {
  Key key(EVP_EC_gen("P-256"));
  if (key == nullptr) return Fail(OpenSslError("cannot make the certificate authority's key"));
  TRY(Certificate certificate, MakeAuthority(key.get(), this_host));
  TRYV(io::WriteFileDurably(key_file, Pem([&](BIO* out) {
                              PEM_write_bio_PKCS8PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
                            }),
                            0600));
  TRYV(
      io::WriteFileDurably(certificate_file, Pem([&](BIO* out) { PEM_write_bio_X509(out, certificate.get()); }), 0644));
  // The umask may have taken away what others need: everyone may read the certificate.
  if (::chmod(certificate_file.c_str(), 0644) != 0) {
    return Fail(FromErrno(errno, "cannot set the mode of " + certificate_file.string()));
  }
  return {};
}

Result<void> CheckKeyMode(const fs::path& key_file) {
  struct stat status{};
  if (::stat(key_file.c_str(), &status) != 0) return Fail(FromErrno(errno, "cannot read " + key_file.string()));
  if ((status.st_mode & 077) == 0) return {};
  return Fail(Error(ErrorKind::kFailedPrecondition,
                    "the certificate authority's key " + key_file.string() +
                        " can be read by other users; anyone who has it can pose as any host to clients that trust "
                        "this engine. If no one else had access, run: chmod 600 " +
                        key_file.string() + ". Otherwise delete it and ca.pem; the next start makes a new pair."));
}

Error Unreadable(const fs::path& file) {
  ERR_clear_error();
  return Error(ErrorKind::kDataLoss, file.string() + " is damaged. Delete ca.key and ca.pem in " +
                                         file.parent_path().string() + "; the next start makes a new pair.");
}

Result<Context> MakeContext() {
  Context context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return Fail(OpenSslError("cannot set up TLS"));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // A resumed session would skip the choice of certificate; handshakes with P-256 are cheap.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  return context;
}

}  // namespace

CertificateAuthority::CertificateAuthority(std::unique_ptr<State> state) : state_(std::move(state)) {}
CertificateAuthority::~CertificateAuthority() = default;
ssl_ctx_st* CertificateAuthority::server_context() const { return state_->context.get(); }

Result<std::unique_ptr<CertificateAuthority>> CertificateAuthority::Open(const fs::path& directory,
                                                                         const std::string& this_host) {
  fs::path certificate_file = directory / "ca.pem", key_file = directory / "ca.key";
  TRYV(io::MakeDirectories(directory, 0755));
  std::error_code ignored;
  if (!fs::exists(certificate_file, ignored)) {
    TRYV(MakePair(certificate_file, key_file, this_host));
  } else if (!fs::exists(key_file, ignored)) {
    return Fail(Error(ErrorKind::kFailedPrecondition,
                      key_file.string() + " is missing. Restore it, or delete " + certificate_file.string() +
                          " so that the next start makes a new pair (clients then need the new ca.pem)."));
  }
  TRYV(CheckKeyMode(key_file));
  TRY(std::string key_pem, io::ReadFile(key_file));
  TRY(std::string certificate_pem, io::ReadFile(certificate_file));

  auto state = std::make_unique<State>();
  Memory key_memory(BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size())));
  Memory certificate_memory(BIO_new_mem_buf(certificate_pem.data(), static_cast<int>(certificate_pem.size())));
  // An empty passphrase, so that a damaged file never asks for one on the terminal.
  state->key.reset(PEM_read_bio_PrivateKey(key_memory.get(), nullptr, nullptr, const_cast<char*>("")));
  if (state->key == nullptr) return Fail(Unreadable(key_file));
  state->certificate.reset(PEM_read_bio_X509(certificate_memory.get(), nullptr, nullptr, nullptr));
  if (state->certificate == nullptr) return Fail(Unreadable(certificate_file));
  if (X509_check_private_key(state->certificate.get(), state->key.get()) != 1) {
    ERR_clear_error();
    return Fail(Error(ErrorKind::kFailedPrecondition,
                      key_file.string() + " does not belong to " + certificate_file.string() +
                          ". Delete both; the next start makes a new pair (clients then need the new ca.pem)."));
  }
  if (X509_cmp_current_time(X509_get0_notAfter(state->certificate.get())) < 0) {
    return Fail(
        Error(ErrorKind::kFailedPrecondition,
              certificate_file.string() + " has expired. Delete it and ca.key; the next start makes a new pair."));
  }
  state->leaf_key.reset(EVP_EC_gen("P-256"));
  if (state->leaf_key == nullptr) return Fail(OpenSslError("cannot make a TLS key"));
  TRY(state->context, MakeContext());
  SSL_CTX_set_cert_cb(state->context.get(), State::Choose, state.get());
  std::unique_ptr<CertificateAuthority> authority(new CertificateAuthority(std::move(state)));
  authority->certificate_file_ = certificate_file;
  authority->certificate_pem_ = std::move(certificate_pem);
  return authority;
}

Result<void> CertificateAuthority::WriteBundle(const fs::path& file) const {
  const char* chosen = std::getenv("SSL_CERT_FILE");
  fs::path system = chosen != nullptr && *chosen != '\0' ? chosen : "/etc/ssl/certs/ca-certificates.crt";
  std::error_code ignored;
  // Someone who runs us in the environment that we printed has SSL_CERT_FILE set to this very file.
  if (fs::equivalent(system, file, ignored)) system = "/etc/ssl/certs/ca-certificates.crt";
  Result<std::string> bundle = io::ReadFile(system);
  if (!bundle && bundle.error().kind != ErrorKind::kNotFound) return Fail(std::move(bundle).error());
  if (!bundle) {
    Log(LogLevel::kWarning, "system_ca_bundle_missing",
        {{"file", system.string()}, {"effect", "the bundle trusts only this engine"}});
  }
  std::string content = bundle ? *std::move(bundle) : std::string();
  if (!content.empty() && !content.ends_with('\n')) content += '\n';
  TRYV(io::WriteFileDurably(file, content + certificate_pem_, 0644));
  if (::chmod(file.c_str(), 0644) != 0) return Fail(FromErrno(errno, "cannot set the mode of " + file.string()));
  return {};
}

}  // namespace sagebrush::http
