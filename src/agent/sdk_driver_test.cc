#include "agent/sdk_driver.h"

#include <gmock/gmock.h>
#include <rapidcheck.h>

namespace sagebrush::agent {
namespace {

using ::testing::HasSubstr;

const std::vector<std::string> kCommand = {
    "/bin/bash", "-c",
    "chmod +x /opt/ml/input/data/sm_drivers/sm_train.sh && /opt/ml/input/data/sm_drivers/sm_train.sh"};

// What version 3.27 of the SDK prints around a script's output, and its traceback of a command that failed.
const std::deque<std::string> kBefore = {
    "SM_HPS={}",
    "++ set +x",
    "++ cd /opt/ml/input/data/code",
    "++ echo 'Running Basic Script driver'",
    "Running Basic Script driver",
    "++ /venv/bin/python3 /opt/ml/input/data/sm_drivers/distributed_drivers/basic_script_driver.py",
    "Executing command: /venv/bin/python3 train.py --epochs 2"};

std::deque<std::string> DriversTraceback(const std::string& first_line, const std::string& end) {
  return {first_line + "Traceback (most recent call last):",
          "  File \"/opt/ml/input/data/sm_drivers/common/utils.py\", line 193, in execute_commands",
          "    raise subprocess.CalledProcessError(exitcode, commands)",
          "subprocess.CalledProcessError: Command '['/venv/bin/python3', 'train.py']' " + end, ""};
}

const std::deque<std::string> kShellsEnd = {"+++ handle_error",
                                            "+++ EXIT_STATUS=1",
                                            "+++ echo 'An error occurred with exit code 1'",
                                            "An error occurred with exit code 1",
                                            "+++ '[' '!' -s /opt/ml/output/failure ']'",
                                            "+++ exit 1"};

std::deque<std::string> Join(std::initializer_list<std::deque<std::string>> parts) {
  std::deque<std::string> all;
  for (const std::deque<std::string>& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::deque<std::string> Failing(const std::deque<std::string>& script, const std::string& code = "1",
                                const std::string& end = "returned non-zero exit status 1.") {
  return Join(
      {kBefore, script, DriversTraceback("Command failed with exit code " + code + ". Traceback: ", end), kShellsEnd});
}

TEST(SdkDriverTest, KnowsTheDriversCommandAndTheirTexts) {
  EXPECT_TRUE(RunsSdkDriver(kCommand));
  EXPECT_FALSE(RunsSdkDriver({"/venv/bin/python3", "train.py"}));
  std::string text;
  for (const std::string& line : DriversTraceback("", "returned non-zero exit status 1.")) text += line + "\n";
  EXPECT_TRUE(IsSdkDriverText(text));
  EXPECT_TRUE(IsSdkDriverText("\nTraining Execution failed.\nFor more details, see CloudWatch logs"));
  EXPECT_FALSE(IsSdkDriverText("the data is not there"));
  EXPECT_FALSE(IsSdkDriverText("subprocess.CalledProcessError: the script's own"));
  EXPECT_FALSE(IsSdkDriverText(""));
}

TEST(SdkDriverTest, TellsTheScriptsExceptionAndCommand) {
  // The driver strips the lines of the script.
  auto output = Failing(
      {"hi", "Traceback (most recent call last):", "File \"/opt/ml/input/data/code/train.py\", line 5, in <module>",
       "main()", "~~~~^^", "File \"/opt/ml/input/data/code/train.py\", line 4, in main",
       "raise RuntimeError('the well is dry')", "RuntimeError: the well is dry", "and the bucket empty"});
  EXPECT_EQ(
      SdkDriverFailure({1, 0, false, 0}, output, kCommand),
      "ExecuteUserScriptError:\nExitCode 1\nErrorMessage \"RuntimeError: the well is dry\nand the bucket empty\"\n"
      "Command \"/venv/bin/python3 train.py --epochs 2\"");
}

TEST(SdkDriverTest, FindsTheExceptionWhereNoSourceIsShown) {
  auto output =
      Failing({"Traceback (most recent call last):", "File \"<string>\", line 1, in <module>", "KeyError: 'x'"});
  EXPECT_THAT(SdkDriverFailure({1, 0, false, 0}, output, kCommand), HasSubstr("ErrorMessage \"KeyError: 'x'\""));
  output = Failing({"Traceback (most recent call last):", "File \"lib.pyx\", line 1, in f", "lib.DeepError: no"});
  EXPECT_THAT(SdkDriverFailure({1, 0, false, 0}, output, kCommand), HasSubstr("ErrorMessage \"lib.DeepError: no\""));
}

TEST(SdkDriverTest, ShowsWhereAScriptDoesNotCompile) {
  auto output = Failing(
      {"File \"/opt/ml/input/data/code/train.py\", line 3", "print(", "^", "SyntaxError: '(' was never closed"});
  EXPECT_THAT(SdkDriverFailure({1, 0, false, 0}, output, kCommand),
              HasSubstr("ErrorMessage \"  File \"/opt/ml/input/data/code/train.py\", line 3\n    print(\n    ^\n"
                        "SyntaxError: '(' was never closed\""));
}

TEST(SdkDriverTest, NamesTheSignalThatEndedTheScript) {
  auto output = Failing({"working"}, "-11", "died with <Signals.SIGSEGV: 11>.");
  EXPECT_THAT(SdkDriverFailure({245, 0, false, 0}, output, kCommand),
              HasSubstr("ExitCode 139\nErrorMessage \"killed by signal 11 (SIGSEGV)\nworking\""));
  // A command of the shell's own: its exit code tells.
  output = Join({{"Executing command: ./train", "++ eval ./train", "+++ ./train", "working"}, kShellsEnd});
  std::string reason = SdkDriverFailure({137, 0, true, 1 << 30}, output, kCommand);
  EXPECT_THAT(reason, HasSubstr("OutOfMemory: "));
  EXPECT_THAT(reason, HasSubstr("Command \"./train\""));
}

TEST(SdkDriverTest, LeavesTheShellsTraceOut) {
  auto output =
      Join({{"+++ cat", "++ CMD='echo a; exit 3'", "++ echo 'Executing command: echo a; exit 3'",
             "Executing command: echo a; exit 3", "++ eval 'echo a; exit 3'", "+++ echo a", "a", "+++ exit 3"}});
  EXPECT_THAT(SdkDriverFailure({3, 0, false, 0}, output, kCommand),
              HasSubstr("ExitCode 3\nErrorMessage \"a\"\nCommand"));
}

TEST(SdkDriverTest, TellsWhatPipSays) {
  auto output =
      Join({{"++ echo 'Installing requirements'", "Installing requirements",
             "++ /venv/bin/python3 /opt/ml/input/data/sm_drivers/scripts/install_requirements.py more/needs.txt",
             "ERROR: No matching distribution found for nowhere==9", "Traceback (most recent call last):",
             "  File \"/opt/ml/input/data/sm_drivers/scripts/install_requirements.py\", line 201, in <module>",
             "    main()", "  File \"/usr/lib/python3.12/subprocess.py\", line 413, in check_call",
             "    raise CalledProcessError(retcode, cmd)",
             "subprocess.CalledProcessError: Command '['-m', 'pip']' returned non-zero exit status 1."},
            kShellsEnd});
  std::string reason = SdkDriverFailure({1, 0, false, 0}, output, kCommand);
  EXPECT_THAT(reason, HasSubstr("ErrorMessage \"ERROR: No matching distribution found for nowhere==9\""));
  EXPECT_THAT(reason, HasSubstr("The packages of more/needs.txt"));
}

TEST(SdkDriverTest, KeepsWhatTheDriversThemselvesDieOf) {
  auto output = Join({{"Bootstrapping master node...", "Traceback (most recent call last):",
                       "  File \"/opt/ml/input/data/sm_drivers/distributed_drivers/mpi_utils.py\", line 150, in wait",
                       "    raise TimeoutError(\"Timed out waiting for workers to be reachable.\")",
                       "TimeoutError: Timed out waiting for workers to be reachable."},
                      kShellsEnd});
  EXPECT_THAT(SdkDriverFailure({1, 0, false, 0}, output, kCommand),
              HasSubstr("ErrorMessage \"TimeoutError: Timed out waiting for workers to be reachable.\""));
}

TEST(SdkDriverTest, NamesTheProcessOfMpiThatFailedFirst) {
  auto output = Join(
      {{"Executing command: mpirun --host algo-1,algo-2 -np 2 python3 -m mpi4py train.py",
        "[1,1]<stderr>:Traceback (most recent call last):", "[1,1]<stderr>:  File \"train.py\", line 2, in <module>",
        "[1,1]<stderr>:ValueError: enough", "MPI_ABORT was invoked on rank 1 in communicator MPI_COMM_WORLD"},
       DriversTraceback("Command failed with exit code 1. Traceback: ", "returned non-zero exit status 1."),
       kShellsEnd});
  std::string reason = SdkDriverFailure({1, 0, false, 0}, output, kCommand);
  EXPECT_THAT(reason, HasSubstr("ErrorMessage \"rank 1: ValueError: enough\""));
  EXPECT_THAT(reason, HasSubstr("Command \"mpirun --host algo-1,algo-2 -np 2 "));
}

TEST(SdkDriverTest, AnyOutputGivesAReasonOfBoundedLength) {
  const std::vector<std::string> pieces = {"Traceback (most recent call last):",
                                           "File \"",
                                           "  File \"/opt/ml/input/data/sm_drivers/x",
                                           "subprocess.CalledProcessError: ",
                                           "Command failed with exit code ",
                                           "++ handle_error",
                                           "Executing command: ",
                                           "Installing requirements",
                                           "++ ",
                                           "~~^",
                                           "\xC3\xA9",
                                           "-",
                                           "x"};
  rc::check([&] {
    std::deque<std::string> lines;
    for (const auto& parts : *rc::gen::container<std::vector<std::vector<size_t>>>(
             rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(0, pieces.size())))) {
      std::string& line = lines.emplace_back();
      for (size_t part : parts) line += pieces[part];
    }
    std::string reason = SdkDriverFailure({*rc::gen::inRange(-70, 300), 0, false, 0}, lines, kCommand);
    RC_ASSERT(!reason.empty());
    RC_ASSERT(CutCharacters(reason, kMaxFailureCharacters) == reason);
  });
}

}  // namespace
}  // namespace sagebrush::agent
