#include "control/credentials.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <sys/stat.h>

#include <set>

#include "base/random.h"
#include "io/file.h"

namespace sagebrush::control {
namespace {

class KeyRingTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() / ("keyring-" + RandomHex(8));
    ASSERT_TRUE(io::MakeDirectories(directory_, 0700));
  }
  void TearDown() override { EXPECT_TRUE(io::RemoveTree(directory_)); }
  std::filesystem::path file() const { return directory_ / "credentials.json"; }

  std::filesystem::path directory_;
};

TEST_F(KeyRingTest, MakesKeysOnceAndKeepsThemPrivate) {
  auto made = KeyRing::Open(file());
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->owner().access_key.size(), 20u);
  EXPECT_TRUE(made->owner().access_key.starts_with("AKIA"));
  EXPECT_EQ(made->owner().secret.size(), 40u);
  struct stat status = {};
  ASSERT_EQ(::stat(file().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);

  auto again = KeyRing::Open(file());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->owner().access_key, made->owner().access_key);
  EXPECT_EQ(again->owner().secret, made->owner().secret);
  EXPECT_EQ(again->ForJob(JobName("a")).secret, made->ForJob(JobName("a")).secret);
}

TEST_F(KeyRingTest, RefusesAFileThatOthersMayRead) {
  ASSERT_TRUE(KeyRing::Open(file()));
  ASSERT_EQ(::chmod(file().c_str(), 0640), 0);
  auto ring = KeyRing::Open(file());
  ASSERT_FALSE(ring);
  EXPECT_EQ(ring.error().kind, ErrorKind::kPermissionDenied);
  EXPECT_NE(ring.error().message.find("chmod 600"), std::string::npos);
}

TEST_F(KeyRingTest, RefusesADamagedFileAndLeavesItAlone) {
  for (std::string text : {"", "{", "[]", "{}", R"({"access_key":"AKIA","secret":"s","master":"00"})",
                           R"({"access_key":1,"secret":2,"master":3})"}) {
    ASSERT_TRUE(io::WriteFile(file(), text, 0600));
    auto ring = KeyRing::Open(file());
    ASSERT_FALSE(ring) << text;
    EXPECT_EQ(ring.error().kind, ErrorKind::kDataLoss);
    EXPECT_EQ(*io::ReadFile(file()), text);
  }
}

TEST_F(KeyRingTest, FindsOnlyKeysThatItGaveOut) {
  auto ring = KeyRing::Open(file());
  ASSERT_TRUE(ring);
  EXPECT_EQ(ring->Find(ring->owner().access_key)->secret, ring->owner().secret);
  EXPECT_FALSE(ring->Find(""));
  EXPECT_FALSE(ring->Find("ASIA"));
  EXPECT_FALSE(ring->Find("AKIAAAAAAAAAAAAAAAAA"));
  EXPECT_TRUE(rc::check("job keys", [&] {
    JobName job(*rc::gen::arbitrary<std::string>());
    wire::Credentials credentials = ring->ForJob(job);
    RC_ASSERT(credentials.access_key.size() == 20u);
    RC_ASSERT(credentials.secret.size() == 40u);
    auto found = ring->Find(credentials.access_key);
    RC_ASSERT(found.has_value());
    RC_ASSERT(found->secret == credentials.secret);
    std::string forged = credentials.access_key;
    char& c = forged[*rc::gen::inRange<size_t>(4, 20)];
    c = c == 'Q' ? 'R' : 'Q';
    RC_ASSERT(!ring->Find(forged).has_value());
  }));
}

TEST_F(KeyRingTest, KeysDifferBetweenJobsAndInstallations) {
  auto ring = KeyRing::Open(file());
  auto other = KeyRing::Open(directory_ / "other.json");
  ASSERT_TRUE(ring && other);
  std::set<std::string> ids, secrets;
  for (int i = 0; i < 1000; ++i) {
    wire::Credentials credentials = ring->ForJob(JobName("job-" + std::to_string(i)));
    ids.insert(credentials.access_key);
    secrets.insert(credentials.secret);
  }
  EXPECT_EQ(ids.size(), 1000u);
  EXPECT_EQ(secrets.size(), 1000u);
  EXPECT_FALSE(other->Find(ring->ForJob(JobName("a")).access_key));
  EXPECT_NE(ring->owner().secret, other->owner().secret);
}

}  // namespace
}  // namespace sagebrush::control
