#include "cli/app.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "cli/testing.h"

namespace sagebrush::cli {
namespace {

using ::testing::AllOf;
using testing::CapturedTerminal;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using testing::TemporaryDirectory;

// The command line on a data directory of its own, with an engine that only remembers how it was started.
class CommandLine : public ::testing::Test {
 protected:
  CommandLine() {
    for (const Property& property : Properties()) unsetenv(property.Variable().c_str());
  }
  int Run(std::vector<std::string> arguments) {
    terminal_ = std::make_unique<CapturedTerminal>();
    arguments.insert(arguments.begin(), {"sagebrush", "--data-dir", home_.path().string()});
    std::vector<const char*> argv;
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    Hooks hooks{.serve =
                    [this](const ServeOptions& options) {
                      served_ = options;
                      return 7;
                    },
                .driver_requirements = [this](const ServeOptions&) { return requirements_; }};
    return Main(static_cast<int>(argv.size()), argv.data(), terminal_->terminal, hooks);
  }
  std::string Out() const { return terminal_->out.str(); }
  std::string Err() const { return terminal_->err.str(); }

  TemporaryDirectory home_;
  std::unique_ptr<CapturedTerminal> terminal_;
  std::optional<ServeOptions> served_;
  std::vector<driver::Requirement> requirements_;
};

TEST_F(CommandLine, HelpHasExamplesAndIsNoError) {
  EXPECT_EQ(Run({"--help"}), 0);
  EXPECT_THAT(Out(), AllOf(HasSubstr("eval \"$(sagebrush env)\""), HasSubstr("attach"), HasSubstr("Exit codes")));
  for (const char* command :
       {"serve", "env", "jobs", "attach", "logs", "describe", "stop", "endpoints", "doctor", "config"}) {
    EXPECT_EQ(Run({command, "--help"}), 0) << command;
    EXPECT_THAT(Out(), HasSubstr(command));
  }
}

TEST_F(CommandLine, WrongUsageSaysWhatIsWrong) {
  EXPECT_EQ(Run({}), 64);
  EXPECT_EQ(Run({"atach", "x"}), 64);
  EXPECT_THAT(Err(), HasSubstr("sagebrush --help"));
  EXPECT_EQ(Run({"attach"}), 64);
  EXPECT_THAT(Err(), HasSubstr("NAME"));
  EXPECT_EQ(Run({"jobs", "--status", "Broken"}), 64);
  EXPECT_THAT(Err(), HasSubstr("InProgress"));
  EXPECT_EQ(Run({"logs", "x", "--since", "yesterday"}), 64);
  EXPECT_THAT(Err(), HasSubstr("--since yesterday"));
  EXPECT_EQ(Run({"endpoints", "invoke", "x", "no-such-file"}), 64);
  EXPECT_THAT(Err(), HasSubstr("no-such-file"));
  EXPECT_EQ(Run({"endpoints", "invoke", "x", "-", "--data", "{}"}), 64);
  EXPECT_EQ(Run({"endpoints", "forget", "x"}), 64);
  EXPECT_EQ(Out(), "");
}

TEST_F(CommandLine, ServeGetsItsSettings) {
  home_.Write("sagebrush.toml", "region = \"eu-west-1\"\n");
  EXPECT_EQ(Run({"serve", "--listen", "127.0.0.1:0", "--io-threads", "5"}), 7);
  ASSERT_TRUE(served_);
  EXPECT_EQ(served_->listen, "127.0.0.1:0");
  EXPECT_EQ(served_->io_threads, 5);
  EXPECT_EQ(served_->region, "eu-west-1");
  EXPECT_EQ(served_->data_dir, home_.path());
  EXPECT_EQ(served_->agent.filename(), "sagebrush-agent");
}

TEST_F(CommandLine, ABadSettingStopsServe) {
  EXPECT_EQ(Run({"serve", "--listen", "here"}), 64);
  EXPECT_FALSE(served_);
  EXPECT_THAT(Err(), HasSubstr("--listen: listen = \"here\" is not an address and port"));
}

TEST_F(CommandLine, EnvWithoutAnEngineFailsInsideEvalToo) {
  EXPECT_EQ(Run({"env"}), 4);
  EXPECT_EQ(Out(), "false\n");
  EXPECT_THAT(Err(), HasSubstr("`sagebrush serve`"));
  EXPECT_EQ(Run({"env", "--json"}), 4);
  EXPECT_EQ(Out(), "");
  EXPECT_EQ(Run({"env", "--unset"}), 0);
  EXPECT_THAT(Out(), HasSubstr("unset AWS_ENDPOINT_URL\n"));
}

TEST_F(CommandLine, CommandsAboutJobsAndEndpointsNeedAnEngine) {
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"jobs"},
                                             {"attach", "a"},
                                             {"logs", "a"},
                                             {"describe", "a"},
                                             {"stop", "a"},
                                             {"endpoints"},
                                             {"endpoints", "--status", "Failed"},
                                             {"endpoints", "describe", "a"},
                                             {"endpoints", "logs", "a", "--instance", "i-01"},
                                             {"endpoints", "invoke", "a", "--data", "{}"},
                                             {"endpoints", "delete", "a"}}) {
    EXPECT_EQ(Run(command), 4) << command.back();
    EXPECT_THAT(Err(), HasSubstr("engine is not running")) << command.back();
  }
}

TEST_F(CommandLine, ConfigShowsAndExplains) {
  EXPECT_EQ(Run({"config"}), 0);
  EXPECT_THAT(Out(), AllOf(HasSubstr(home_.path().string()), HasSubstr("region = \"us-west-2\"  # default")));
  EXPECT_EQ(Run({"config", "--explain"}), 0);
  EXPECT_THAT(Out(), HasSubstr("SAGEBRUSH_LISTEN, --listen"));
  home_.Write("sagebrush.toml", "nonsense = 1\n");
  EXPECT_EQ(Run({"config"}), 64);
  EXPECT_THAT(Err(), HasSubstr("sagebrush.toml:1: there is no setting named nonsense"));
}

TEST_F(CommandLine, VersionIsOneLine) {
  EXPECT_EQ(Run({"version"}), 0);
  EXPECT_THAT(Out(), AllOf(StartsWith("sagebrush "), Not(HasSubstr("\n\n"))));
}

TEST_F(CommandLine, DoctorFailsForWhatIsMandatoryAndNamesTheRemedy) {
  requirements_ = {{.name = "user namespaces", .met = false, .detail = "off", .remedy = "sysctl x=1"}};
  EXPECT_EQ(Run({"doctor"}), 1);
  EXPECT_THAT(Out(), AllOf(HasSubstr("✗ user namespaces"), HasSubstr("to mend: sysctl x=1"), HasSubstr("✓ clock"),
                           HasSubstr("data directory"), HasSubstr("uv"), HasSubstr("Python")));
  EXPECT_EQ(Run({"doctor", "--json"}), 1);
  auto parsed = boost::json::parse(Out());
  EXPECT_EQ(parsed.at(0).at("name").as_string(), "user namespaces");
  EXPECT_FALSE(parsed.at(0).at("met").as_bool());
}

}  // namespace
}  // namespace sagebrush::cli
