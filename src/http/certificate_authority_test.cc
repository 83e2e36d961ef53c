#include "http/certificate_authority.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "http/test_support.h"

namespace sagebrush::http::testing {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
namespace fs = std::filesystem;

std::string ReadWhole(const fs::path& file) { return io::ReadFile(file).value_or(""); }

TEST(CertificateAuthorityTest, MakesAPairOnceAndLoadsItAfterwards) {
  TempDir dir;
  fs::path place = dir.path() / "tls";
  auto first = CertificateAuthority::Open(place, "box");
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(fs::status(place / "ca.key").permissions(), fs::perms(0600));
  EXPECT_EQ(fs::status(place / "ca.pem").permissions(), fs::perms(0644));
  std::string pem = ReadWhole(place / "ca.pem");
  auto second = CertificateAuthority::Open(place, "renamed");
  ASSERT_TRUE(second);
  EXPECT_EQ((*second)->certificate_pem(), pem);

  BIO* memory = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* certificate = PEM_read_bio_X509(memory, nullptr, nullptr, nullptr);
  ASSERT_NE(certificate, nullptr);
  char name[200];
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
  EXPECT_STREQ(name, "Sagebrush box local CA");
  EXPECT_EQ(X509_check_ca(certificate), 1);
  int days = 0, seconds = 0;
  ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate));
  EXPECT_NEAR(days, 3652, 1);
  X509_free(certificate);
  BIO_free(memory);
}

TEST(CertificateAuthorityTest, RefusesWhatItCannotTrustAndSaysWhatToDo) {
  TempDir dir, other;
  ASSERT_TRUE(CertificateAuthority::Open(dir.path(), "box"));
  ASSERT_TRUE(CertificateAuthority::Open(other.path(), "box"));
  fs::path key = dir.path() / "ca.key";
  std::string good_key = ReadWhole(key);

  fs::permissions(key, fs::perms(0640));
  auto opened = CertificateAuthority::Open(dir.path(), "box");
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("chmod 600"));
  EXPECT_THAT(opened.error().message, ::testing::Not(HasSubstr("PRIVATE")));

  ASSERT_TRUE(io::WriteFile(key, ReadWhole(other.path() / "ca.key"), 0600));
  opened = CertificateAuthority::Open(dir.path(), "box");
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("does not belong"));

  ASSERT_TRUE(io::WriteFile(key, "rubbish", 0600));
  opened = CertificateAuthority::Open(dir.path(), "box");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::kDataLoss);

  fs::remove(key);
  opened = CertificateAuthority::Open(dir.path(), "box");
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("is missing"));

  // A crash between the two files leaves a key alone: the next start makes a new pair.
  fs::remove(dir.path() / "ca.pem");
  ASSERT_TRUE(io::WriteFile(key, good_key, 0600));
  EXPECT_TRUE(CertificateAuthority::Open(dir.path(), "box"));
  EXPECT_NE(ReadWhole(key), good_key);
}

TEST(CertificateAuthorityTest, TheBundleTrustsTheSystemAndUs) {
  TempDir dir;
  auto authority = CertificateAuthority::Open(dir.path(), "box");
  ASSERT_TRUE(authority);
  fs::path system = dir.path() / "system.crt", bundle = dir.path() / "bundle.pem";
  ASSERT_TRUE(io::WriteFile(system, "-----SYSTEM-----"));
  ::setenv("SSL_CERT_FILE", system.c_str(), 1);
  ASSERT_TRUE((*authority)->WriteBundle(bundle));
  std::string content = ReadWhole(bundle);
  EXPECT_EQ(content, "-----SYSTEM-----\n" + (*authority)->certificate_pem());

  ::setenv("SSL_CERT_FILE", bundle.c_str(), 1);
  ASSERT_TRUE((*authority)->WriteBundle(bundle)) << "in an environment that names the bundle itself";
  content = ReadWhole(bundle);
  EXPECT_THAT(content, EndsWith((*authority)->certificate_pem()));
  EXPECT_EQ(content.find((*authority)->certificate_pem()), content.rfind((*authority)->certificate_pem()));

  ::setenv("SSL_CERT_FILE", (dir.path() / "absent").c_str(), 1);
  ASSERT_TRUE((*authority)->WriteBundle(bundle));
  EXPECT_EQ(ReadWhole(bundle), (*authority)->certificate_pem());
  ::unsetenv("SSL_CERT_FILE");
}

TEST(CertificateAuthorityTest, MintsForManyNamesAndRefusesOddOnes) {
  TempDir dir;
  auto authority = CertificateAuthority::Open(dir.path(), std::string(200, 'h'));
  ASSERT_TRUE(authority) << "a long host name fits";
  TestServer server({.authority = authority->get()});
  for (int i = 0; i < 1100; i += 50) {
    Wire wire = server.Connect();
    EXPECT_EQ(wire.StartTls((*authority)->certificate_file(), "host" + std::to_string(i) + ".example"), "ok");
  }
  std::string long_name = std::string(60, 'a') + "." + std::string(60, 'b') + ".example.com";
  Wire wire = server.Connect();
  EXPECT_EQ(wire.StartTls((*authority)->certificate_file(), long_name), "ok");
  Wire odd = server.Connect();
  EXPECT_THAT(odd.StartTls((*authority)->certificate_file(), "a,IP:1.2.3.4"), StartsWith("handshake failed"));
}

}  // namespace
}  // namespace sagebrush::http::testing
