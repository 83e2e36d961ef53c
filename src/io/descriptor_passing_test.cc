#include "io/descriptor_passing.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace sagebrush::io {
namespace {

class DescriptorPassingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    here_ = UniqueFd(ends[0]);
    there_ = UniqueFd(ends[1]);
  }
  UniqueFd here_, there_;
};

TEST_F(DescriptorPassingTest, WhatArrivesIsTheSameFile) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  UniqueFd read(pipe[0]), write(pipe[1]);
  int passed[] = {write.get()};
  ASSERT_EQ(SendWithDescriptors(here_.get(), "hello", passed), 5);
  char bytes[16];
  std::vector<UniqueFd> came;
  ASSERT_EQ(ReceiveWithDescriptors(there_.get(), bytes, 1, came), 5);
  EXPECT_EQ(std::string(bytes, 5), "hello");
  ASSERT_EQ(came.size(), 1U);
  ASSERT_EQ(::write(came[0].get(), "x", 1), 1);
  EXPECT_EQ(::read(read.get(), bytes, 1), 1);
}

TEST_F(DescriptorPassingTest, TakesNoMoreThanAskedFor) {
  int passed[] = {here_.get(), here_.get(), here_.get(), here_.get(), here_.get()};
  ASSERT_EQ(SendWithDescriptors(here_.get(), "x", passed), 1);
  char bytes[16];
  std::vector<UniqueFd> came;
  ASSERT_EQ(ReceiveWithDescriptors(there_.get(), bytes, 2, came), 1);
  EXPECT_EQ(came.size(), 2U);
}

TEST_F(DescriptorPassingTest, BytesComeWithoutAny) {
  ASSERT_EQ(SendWithDescriptors(here_.get(), "x", {}), 1);
  char bytes[16];
  std::vector<UniqueFd> came;
  EXPECT_EQ(ReceiveWithDescriptors(there_.get(), bytes, 1, came), 1);
  EXPECT_TRUE(came.empty());
  errno = 0;
  EXPECT_EQ(ReceiveWithDescriptors(there_.get(), bytes, 1, came, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
  here_.Reset();
  EXPECT_EQ(ReceiveWithDescriptors(there_.get(), bytes, 1, came), 0);
}

}  // namespace
}  // namespace sagebrush::io
