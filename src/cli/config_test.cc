#include "cli/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/testing.h"

namespace sagebrush::cli {
namespace {

using ::testing::AllOf;
using testing::FixedEnvironment;
using ::testing::HasSubstr;
using testing::TemporaryDirectory;
using Flags = std::map<std::string, std::string>;

std::string ErrorOf(const Result<Configuration>& configuration) {
  EXPECT_FALSE(configuration);
  if (configuration) return "";
  EXPECT_EQ(configuration.error().kind, ErrorKind::kInvalidArgument);
  return configuration.error().message;
}

TEST(Configuration, DefaultsNeedNoFile) {
  TemporaryDirectory home;
  auto configuration = LoadConfiguration(home.path(), FixedEnvironment({}), {});
  ASSERT_TRUE(configuration);
  EXPECT_EQ(configuration->options.listen, "127.0.0.1:8770");
  EXPECT_EQ(configuration->options.region, "us-west-2");
  EXPECT_EQ(configuration->options.account, "000000000000");
  EXPECT_EQ(configuration->options.data_dir, home.path());
}

TEST(Configuration, FlagsBeatTheEnvironmentWhichBeatsTheFile) {
  TemporaryDirectory home;
  home.Write("sagebrush.toml", "listen = \"127.0.0.1:1\"\nregion = \"eu-west-1\"\nio_threads = 3\n");
  auto environment = FixedEnvironment({{"SAGEBRUSH_LISTEN", "127.0.0.1:2"}, {"SAGEBRUSH_REGION", "eu-west-2"}});
  auto configuration = LoadConfiguration(home.path(), environment, Flags{{"listen", "[::1]:3"}});
  ASSERT_TRUE(configuration) << configuration.error().message;
  EXPECT_EQ(configuration->options.listen, "[::1]:3");
  EXPECT_EQ(configuration->options.region, "eu-west-2");
  EXPECT_EQ(configuration->options.io_threads, 3);
  EXPECT_EQ(configuration->origins.at("listen"), "--listen");
  EXPECT_EQ(configuration->origins.at("region"), "SAGEBRUSH_REGION");
  EXPECT_EQ(configuration->origins.at("io_threads"), (home.path() / "sagebrush.toml").string() + ":3");
  EXPECT_EQ(configuration->origins.at("account"), "default");
}

TEST(Configuration, UnknownKeysAreRefusedByNameAndLine) {
  TemporaryDirectory home;
  home.Write("sagebrush.toml", "region = \"us-west-2\"\n\nlisen = \"127.0.0.1:1\"\n");
  EXPECT_THAT(ErrorOf(LoadConfiguration(home.path(), FixedEnvironment({}), {})),
              AllOf(HasSubstr("sagebrush.toml:3: there is no setting named lisen"), HasSubstr("listen, region")));
}

TEST(Configuration, BrokenFilesAreRefusedWithTheirLine) {
  TemporaryDirectory home;
  home.Write("sagebrush.toml", "region = \"us-west-2\"\nlisten = \n");
  EXPECT_THAT(ErrorOf(LoadConfiguration(home.path(), FixedEnvironment({}), {})), HasSubstr("sagebrush.toml:2: "));
}

TEST(Configuration, ValuesOfTheWrongTypeAreRefused) {
  for (const char* text : {"io_threads = \"4\"\n", "io_threads = 4.5\n", "io_threads = true\n"}) {
    TemporaryDirectory home;
    home.Write("sagebrush.toml", text);
    EXPECT_THAT(ErrorOf(LoadConfiguration(home.path(), FixedEnvironment({}), {})),
                HasSubstr("sagebrush.toml:1: io_threads must be a whole number."));
  }
  TemporaryDirectory home;
  home.Write("sagebrush.toml", "region = 5\n");
  EXPECT_THAT(ErrorOf(LoadConfiguration(home.path(), FixedEnvironment({}), {})), HasSubstr("region must be a text"));
}

struct BadValue {
  const char* name;
  const char* value;
};

class Bounds : public ::testing::TestWithParam<BadValue> {};

TEST_P(Bounds, AreKeptAndNamedWithTheirOrigin) {
  TemporaryDirectory home;
  auto [name, value] = GetParam();
  EXPECT_THAT(ErrorOf(LoadConfiguration(home.path(), FixedEnvironment({}), Flags{{name, value}})),
              AllOf(HasSubstr("--"), HasSubstr(name), HasSubstr(std::string("\"") + value + "\"")));
}

INSTANTIATE_TEST_SUITE_P(Values, Bounds,
                         ::testing::Values(BadValue{"listen", "localhost:8770"}, BadValue{"listen", "8770"},
                                           BadValue{"listen", "127.0.0.1:65536"}, BadValue{"listen", "::1:80"},
                                           BadValue{"listen", "[127.0.0.1]:80"}, BadValue{"listen", ""},
                                           BadValue{"region", "mars"}, BadValue{"region", "us-west-two"},
                                           BadValue{"region", "US-west-2"}, BadValue{"account", "123"},
                                           BadValue{"account", "00000000000x"}, BadValue{"io_threads", "0"},
                                           BadValue{"io_threads", "65"}, BadValue{"io_threads", "many"},
                                           BadValue{"blocking_threads", "1"}, BadValue{"log_level", "loud"},
                                           BadValue{"agent", "/nonexistent/agent"}, BadValue{"uv", "/"}));

TEST(Configuration, FilesAreRelativeToWhereTheyAreNamed) {
  TemporaryDirectory home;
  home.Write("tools/uv", "");
  home.Write("sagebrush.toml", "uv = \"tools/uv\"\n");
  auto configuration = LoadConfiguration(home.path(), FixedEnvironment({}), {});
  ASSERT_TRUE(configuration) << configuration.error().message;
  EXPECT_EQ(configuration->options.uv, home.path() / "tools/uv");
}

TEST(Configuration, ExplainNamesEverySettingInAllItsForms) {
  std::string text = ExplainConfiguration();
  for (const Property& property : Properties()) {
    EXPECT_THAT(text, AllOf(HasSubstr(property.Flag()), HasSubstr(property.Variable()),
                            HasSubstr(std::string(property.meaning)), HasSubstr(std::string(property.bounds))));
  }
}

TEST(Configuration, WhatIsShownIsAFileThatSaysTheSame) {
  TemporaryDirectory home, other;
  auto first =
      LoadConfiguration(home.path(), FixedEnvironment({}), Flags{{"listen", "0.0.0.0:9"}, {"io_threads", "7"}});
  ASSERT_TRUE(first);
  other.Write("sagebrush.toml", ShowConfiguration(*first));
  auto second = LoadConfiguration(other.path(), FixedEnvironment({}), {});
  ASSERT_TRUE(second) << second.error().message;
  for (const Property& property : Properties()) {
    EXPECT_EQ(property.get(first->options), property.get(second->options)) << property.name;
  }
}

}  // namespace
}  // namespace sagebrush::cli
