#include "control/staging.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/test_request.h"
#include "io/file.h"

namespace sagebrush::control {
namespace {

namespace fs = std::filesystem;
namespace sm = gen::sagemaker;

class MpiDriverTest : public ::testing::Test {
 protected:
  MpiDriverTest() {
    char pattern[] = "/tmp/sagebrush-staging-XXXXXX";
    directory_ = ::mkdtemp(pattern);
    objects_ = *objstore::ObjectStore::Open(directory_ / "objects", {::geteuid(), ::getegid()}, clock_);
    EXPECT_TRUE(objects_->CreateBucket("bucket"));
  }
  ~MpiDriverTest() override {
    objects_.reset();
    static_cast<void>(io::RemoveTree(directory_));
  }

  void Put(const std::string& key, const std::string& text) {
    auto writer = *objects_->Put("bucket", key, {});
    ASSERT_TRUE(writer->Append(text));
    ASSERT_TRUE(writer->Commit());
  }

  // Of a request as the SDK sends it: the prefix without a slash at its end.
  bool Brings(const std::string& uri, const std::string& channel_name = "sm_drivers") {
    sm::CreateTrainingJobRequest request = TestRequest("job");
    sm::Channel channel = request.InputDataConfig.front();
    channel.ChannelName = channel_name;
    channel.DataSource.S3DataSource->S3Uri = uri;
    request.InputDataConfig.push_back(channel);
    return BringsMpiDriver(*objects_, request);
  }

  SystemClock clock_;
  fs::path directory_;
  std::unique_ptr<objstore::ObjectStore> objects_;
};

TEST_F(MpiDriverTest, IsToldByTheSettingsThatComeWithTheDrivers) {
  Put("mpi/distributed.json", R"({"process_count_per_node": 2, "mpi_additional_options": null})");
  Put("torch/distributed.json", R"({"process_count_per_node": 2, "smp": null})");
  Put("none/distributed.json", "{}");
  EXPECT_TRUE(Brings("s3://bucket/mpi"));
  EXPECT_TRUE(Brings("s3://bucket/mpi/"));
  EXPECT_FALSE(Brings("s3://bucket/torch"));
  EXPECT_FALSE(Brings("s3://bucket/none"));
  EXPECT_FALSE(Brings("s3://bucket/mpi", "other"));
}

TEST_F(MpiDriverTest, IsNoneWhereNothingCanBeRead) {
  Put("broken/distributed.json", "{");
  Put("list/distributed.json", "[1]");
  Put("large/distributed.json", "{\"mpi_additional_options\": \"" + std::string(1 << 20, 'x') + "\"}");
  EXPECT_FALSE(Brings("s3://bucket/broken"));
  EXPECT_FALSE(Brings("s3://bucket/list"));
  EXPECT_FALSE(Brings("s3://bucket/large"));
  EXPECT_FALSE(Brings("s3://bucket/absent"));
  EXPECT_FALSE(Brings("s3://no-bucket/mpi"));
  EXPECT_FALSE(Brings("no uri"));
}

}  // namespace
}  // namespace sagebrush::control
