#include <gmock/gmock.h>
#include <rapidcheck.h>

#include "agent/failure_text.h"
#include "agent/python_value.h"
#include "agent/tensorflow_cluster.h"
#include "agent/toolkit.h"

namespace sagebrush::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

driver::InstanceSpec SdkJob() {
  driver::InstanceSpec spec;
  spec.id = InstanceId("job-1.1.0");
  spec.job = JobName("job-1");
  spec.instance_type = "ml.c5.xlarge";
  spec.count = 2;
  spec.rank = 1;
  spec.environment.venv = "/opt/venv";
  spec.engine_socket = "/run/engine.sock";
  spec.hyperparameters = {{"epochs", "2"},
                          {"lr", "0.1"},
                          {"name", "\"k\u00e4se\""},
                          {"plain", "text"},
                          {"b", "true"},
                          {"o", "{\"y\": 2, \"x\": \"z\"}"},
                          {"model_dir", "\"s3://bucket/job/model\""},
                          {"sagemaker_program", "\"train.py\""},
                          {"sagemaker_submit_directory", "\"s3://bucket/job/sourcedir.tar.gz\""},
                          {"sagemaker_container_log_level", "20"},
                          {"sagemaker_job_name", "\"job-1\""},
                          {"sagemaker_region", "\"us-east-1\""},
                          {"sagemaker_instance_type", "\"ml.c5.xlarge\""}};
  spec.input_data_config_json = R"({"train":{"TrainingInputMode":"File","S3DistributionType":"FullyReplicated"}})";
  spec.resource_config_json =
      R"({"current_host":"algo-2","hosts":["algo-1","algo-2"],"current_instance_type":"ml.c5.xlarge",)"
      R"("current_group_name":"homogeneousCluster","network_interface_name":"eth0","instance_groups":)"
      R"([{"instance_group_name":"homogeneousCluster","instance_type":"ml.c5.xlarge","hosts":["algo-1","algo-2"]}]})";
  spec.variables = {{"AWS_REGION", "us-east-1"}, {"LANG", "de_DE.UTF-8"}};
  return spec;
}

TEST(PythonValueTest, PrintsFloatsAsPythonDoes) {
  EXPECT_EQ(PythonFloat(0.1), "0.1");
  EXPECT_EQ(PythonFloat(1e-5), "1e-05");
  EXPECT_EQ(PythonFloat(0.0001), "0.0001");
  EXPECT_EQ(PythonFloat(1e15), "1000000000000000.0");
  EXPECT_EQ(PythonFloat(1e16), "1e+16");
  EXPECT_EQ(PythonFloat(1.5e300), "1.5e+300");
  EXPECT_EQ(PythonFloat(-0.0), "-0.0");
  EXPECT_EQ(PythonFloat(100), "100.0");
}

TEST(PythonValueTest, DumpsAndStr) {
  auto value =
      PythonValue::Parse(R"( {"b":[1,2.50,true,null,"a'\u00e9\ud83d\ude00"],"a":123456789012345678901234567890} )");
  ASSERT_TRUE(value.has_value());
  EXPECT_EQ(value->Dumps(), R"({"a":123456789012345678901234567890,"b":[1,2.5,true,null,"a'\u00e9\ud83d\ude00"]})");
  EXPECT_EQ(value->Str(), "{'a': 123456789012345678901234567890, 'b': [1, 2.5, True, None, \"a'\u00e9\U0001F600\"]}");
}

TEST(PythonValueTest, GarbageIsRefusedWithoutACrash) {
  for (const char* bad :
       {"", "{", "[1,]", "01", "1.", "tru", "\"\\x\"", "\"open", "{\"a\" 1}", "1 2", "-", "\"\\u12\""}) {
    EXPECT_FALSE(PythonValue::Parse(bad).has_value()) << bad;
  }
  EXPECT_FALSE(PythonValue::Parse(std::string(100'000, '[')).has_value());
  EXPECT_TRUE(rc::check([](const std::string& text) { static_cast<void>(PythonValue::Parse(text)); }));
}

TEST(ToolkitUnitTest, ArgumentsAreSortedDecodedAndWithoutTheToolkitsOwn) {
  EXPECT_THAT(ScriptArguments(Hyperparameters::Decode(SdkJob().hyperparameters)),
              ElementsAre("-b", "True", "--epochs", "2", "--lr", "0.1", "--model_dir", "s3://bucket/job/model",
                          "--name", "k\u00e4se", "-o", "x=z,y=2", "--plain", "text"));
}

TEST(ToolkitUnitTest, VariablesToTheByte) {
  driver::InstanceSpec spec = SdkJob();
  auto variables = ProgramEnvironment(spec, Hyperparameters::Decode(spec.hyperparameters), {4, 0, 0});
  const std::map<std::string, std::string> kGolden = {
      {"SM_HOSTS", R"(["algo-1","algo-2"])"},
      {"SM_CURRENT_HOST", "algo-2"},
      {"SM_NETWORK_INTERFACE_NAME", "eth0"},
      {"SM_HPS",
       R"({"b":true,"epochs":2,"lr":0.1,"model_dir":"s3://bucket/job/model","name":"k\u00e4se","o":{"x":"z","y":2},"plain":"text"})"},
      {"SM_HP_EPOCHS", "2"},
      {"SM_HP_LR", "0.1"},
      {"SM_HP_NAME", "k\u00e4se"},
      {"SM_HP_B", "true"},
      {"SM_HP_O", R"({"x":"z","y":2})"},
      {"SM_USER_ENTRY_POINT", "train.py"},
      {"SM_MODULE_NAME", "train"},
      {"SM_MODULE_DIR", "s3://bucket/job/sourcedir.tar.gz"},
      {"SM_FRAMEWORK_MODULE", "sagemaker_tensorflow_container.training:main"},
      {"SM_FRAMEWORK_PARAMS", R"({"sagemaker_instance_type":"ml.c5.xlarge"})"},
      {"SM_INPUT_DATA_CONFIG", R"({"train":{"S3DistributionType":"FullyReplicated","TrainingInputMode":"File"}})"},
      {"SM_CHANNELS", R"(["train"])"},
      {"SM_CHANNEL_TRAIN", "/opt/ml/input/data/train"},
      {"SM_INPUT_DIR", "/opt/ml/input"},
      {"SM_INPUT_CONFIG_DIR", "/opt/ml/input/config"},
      {"SM_OUTPUT_DIR", "/opt/ml/output"},
      {"SM_OUTPUT_DATA_DIR", "/opt/ml/output/data"},
      {"SM_OUTPUT_INTERMEDIATE_DIR", "/opt/ml/output/intermediate"},
      {"SM_MODEL_DIR", "/opt/ml/model"},
      {"SM_LOG_LEVEL", "20"},
      {"SM_NUM_CPUS", "4"},
      {"SM_NUM_GPUS", "0"},
      {"SM_NUM_NEURONS", "0"},
      {"SM_CURRENT_INSTANCE_TYPE", "ml.c5.xlarge"},
      {"SM_CURRENT_INSTANCE_GROUP", "homogeneousCluster"},
      {"SM_CURRENT_INSTANCE_GROUP_HOSTS", R"(["algo-1","algo-2"])"},
      {"SM_INSTANCE_GROUPS", R"(["homogeneousCluster"])"},
      {"SM_DISTRIBUTION_INSTANCE_GROUPS", "[]"},
      {"SM_IS_HETERO", "false"},
      {"SM_USER_ARGS",
       R"(["-b","True","--epochs","2","--lr","0.1","--model_dir","s3://bucket/job/model","--name","k\u00e4se","-o","x=z,y=2","--plain","text"])"},
      {"CURRENT_HOST", "algo-2"},
      {"SAGEMAKER_JOB_NAME", "job-1"},
      {"SAGEMAKER_REGION", "us-east-1"},
      {"PYTHONUNBUFFERED", "1"},
      {"VIRTUAL_ENV", "/opt/venv"},
      {"TF_CPP_MIN_LOG_LEVEL", "1"},
      {"HOME", "/root"},
      {"http_proxy", "http://127.83.66.1:9000"},
      {"no_proxy", "localhost,127.0.0.1,::1,10.77.0.0/16,127.83.66.1,algo-1,algo-2"},
      {"LANG", "de_DE.UTF-8"},  // the job's own wins
  };
  for (const auto& [name, value] : kGolden) {
    ASSERT_TRUE(variables.contains(name)) << name;
    EXPECT_EQ(variables[name], value) << name;
  }
  EXPECT_TRUE(variables["PATH"].starts_with("/opt/venv/bin:"));
  EXPECT_FALSE(variables.contains("SM_TOPOLOGY"));
  auto training_env = PythonValue::Parse(variables["SM_TRAINING_ENV"]);
  ASSERT_TRUE(training_env.has_value());
  EXPECT_EQ(training_env->Dumps(), variables["SM_TRAINING_ENV"]) << "compact, sorted, ASCII";
  EXPECT_THAT(variables["SM_TRAINING_ENV"], HasSubstr(R"("is_master":false,"is_modelparallel_enabled":null)"));
  EXPECT_THAT(variables["SM_TRAINING_ENV"], HasSubstr(R"("channel_input_dirs":{"train":"/opt/ml/input/data/train"})"));
}

TEST(ToolkitUnitTest, AnIsolatedJobGetsNoProxy) {
  driver::InstanceSpec spec = SdkJob();
  spec.network_isolation = true;
  auto variables = ProgramEnvironment(spec, Hyperparameters::Decode(spec.hyperparameters), {});
  EXPECT_FALSE(variables.contains("https_proxy"));
}

TEST(ToolkitUnitTest, PythonFindsTheTensorFlowHookFirst) {
  driver::InstanceSpec spec = SdkJob();
  auto path_with = [&](const std::string& plugin) {
    spec.variables["SAGEBRUSH_TF_S3_PLUGIN"] = plugin;
    return ProgramEnvironment(spec, Hyperparameters::Decode(spec.hyperparameters), {})["PYTHONPATH"];
  };
  EXPECT_EQ(path_with("/opt/sagebrush/tensorflow-s3/lib.so"), "/opt/sagebrush/tensorflow-s3:/opt/ml/code");
  EXPECT_EQ(path_with(""), "/opt/ml/code");
  spec.variables["PYTHONPATH"] = "/mine";
  EXPECT_EQ(path_with("/opt/sagebrush/tensorflow-s3/lib.so"), "/opt/sagebrush/tensorflow-s3:/mine");
  spec.entrypoint = {"python3", "x.py"};
  spec.variables.erase("PYTHONPATH");
  EXPECT_EQ(path_with("/opt/sagebrush/tensorflow-s3/lib.so"), "/opt/sagebrush/tensorflow-s3");
}

TEST(ToolkitUnitTest, CommandsOfEveryKind) {
  driver::InstanceSpec spec = SdkJob();
  spec.hyperparameters = {{"a b", "\"it's\""}, {"sagemaker_program", "train.py"}};
  auto command = [&] { return ProgramCommand(spec, Hyperparameters::Decode(spec.hyperparameters)); };
  EXPECT_THAT(*command(), ElementsAre("/opt/venv/bin/python", "train.py", "--a b", "it's"));
  spec.hyperparameters["sagemaker_program"] = "run.sh";
  EXPECT_THAT(*command(), ElementsAre("/bin/sh", "-c", "./run.sh '--a b' 'it'\"'\"'s'"));
  for (const char* bad : {"/bin/sh", "../x.py", "-c", "a;b.py", "a/../../b.py"}) {
    spec.hyperparameters["sagemaker_program"] = bad;
    EXPECT_FALSE(command().has_value()) << bad;
  }
  spec.hyperparameters.erase("sagemaker_program");
  EXPECT_THAT(command().error().message, HasSubstr("entry_point"));
  spec.entrypoint = {"echo"};
  spec.arguments = {"x"};
  EXPECT_THAT(*command(), ElementsAre("echo", "x"));
  spec.entrypoint.clear();
  spec.hyperparameters = {{"sagemaker_program", "train.py"}, {"sagemaker_distributed_dataparallel_enabled", "true"}};
  EXPECT_THAT(command().error().message, HasSubstr("sagemaker_distributed_dataparallel_enabled"));
}

std::string TfConfig(int rank, int count, const std::map<std::string, std::string>& distribution) {
  driver::InstanceSpec spec;
  spec.rank = rank;
  spec.count = count;
  spec.hyperparameters = distribution;
  auto variables = ProgramEnvironment(spec, Hyperparameters::Decode(spec.hyperparameters), {});
  auto found = variables.find("TF_CONFIG");
  return found == variables.end() ? "none" : found->second;
}

TEST(TensorFlowClusterTest, MirroredWorkersToTheByte) {
  const std::map<std::string, std::string> kMirrored = {{"sagemaker_multi_worker_mirrored_strategy_enabled", "true"}};
  EXPECT_EQ(TfConfig(1, 2, kMirrored), R"({"cluster":{"worker":["algo-1:8890","algo-2:8890"]},"environment":"cloud",)"
                                       R"("task":{"index":1,"type":"worker"}})");
  EXPECT_EQ(TfConfig(0, 1, kMirrored),
            R"({"cluster":{"worker":["algo-1:8890"]},"environment":"cloud","task":{"index":0,"type":"worker"}})");
  EXPECT_EQ(TfConfig(0, 2, {}), "none");
}

TEST(TensorFlowClusterTest, ParameterServersToTheByte) {
  std::map<std::string, std::string> distribution = {{"sagemaker_parameter_server_enabled", "true"}};
  const std::string kRest =
      R"("ps":["algo-1:2223","algo-2:2223","algo-3:2223"],"worker":["algo-2:2222","algo-3:2222"]},)"
      R"("environment":"cloud","task":)";
  EXPECT_EQ(TfConfig(0, 3, distribution),
            R"({"cluster":{"master":["algo-1:2222"],)" + kRest + R"({"index":0,"type":"master"}})");
  EXPECT_EQ(TfConfig(1, 3, distribution),
            R"({"cluster":{"master":["algo-1:2222"],)" + kRest + R"({"index":0,"type":"worker"}})");
  EXPECT_EQ(TfConfig(2, 3, distribution),
            R"({"cluster":{"master":["algo-1:2222"],)" + kRest + R"({"index":1,"type":"worker"}})");
  EXPECT_EQ(TfConfig(0, 1, distribution), "none") << "as hosted, one instance has no parameter servers";
  distribution["sagemaker_parameter_server_layout"] = "\"chief\"";
  EXPECT_EQ(TfConfig(0, 3, distribution),
            R"({"cluster":{"chief":["algo-1:2222"],)" + kRest + R"({"index":0,"type":"chief"}})");
  EXPECT_EQ(TfConfig(2, 3, distribution),
            R"({"cluster":{"chief":["algo-1:2222"],)" + kRest + R"({"index":1,"type":"worker"}})");
}

std::string TfConfigOfGroups(int rank, std::map<std::string, std::string> distribution) {
  driver::InstanceSpec spec;
  spec.rank = rank;
  spec.count = 4;
  spec.resource_config_json = R"({"current_group_name":)" + std::string(rank == 0 ? R"("feed")" : R"("train")") +
                              R"(,"instance_groups":[{"instance_group_name":"feed","hosts":["algo-1"]},)"
                              R"({"instance_group_name":"train","hosts":["algo-2","algo-3","algo-4"]}]})";
  distribution["sagemaker_distribution_instance_groups"] = R"(["train"])";
  spec.hyperparameters = distribution;
  auto variables = ProgramEnvironment(spec, Hyperparameters::Decode(spec.hyperparameters), {});
  EXPECT_EQ(variables["SM_DISTRIBUTION_INSTANCE_GROUPS"], R"(["train"])");
  EXPECT_THAT(variables["SM_TRAINING_ENV"], HasSubstr(R"("master_hostname":"algo-2")"));
  auto found = variables.find("TF_CONFIG");
  return found == variables.end() ? "none" : found->second;
}

TEST(TensorFlowClusterTest, AClusterIsOfTheGroupsThatAreDistributed) {
  std::map<std::string, std::string> servers = {{"sagemaker_parameter_server_enabled", "true"}};
  EXPECT_EQ(TfConfigOfGroups(0, servers), "none");
  const std::string kCluster =
      R"({"cluster":{"master":["algo-2:2222"],"ps":["algo-2:2223","algo-3:2223","algo-4:2223"],)"
      R"("worker":["algo-3:2222","algo-4:2222"]},"environment":"cloud","task":)";
  EXPECT_EQ(TfConfigOfGroups(1, servers), kCluster + R"({"index":0,"type":"master"}})");
  EXPECT_EQ(TfConfigOfGroups(3, servers), kCluster + R"({"index":1,"type":"worker"}})");
  std::map<std::string, std::string> mirrored = {{"sagemaker_multi_worker_mirrored_strategy_enabled", "true"}};
  EXPECT_EQ(TfConfigOfGroups(0, mirrored), "none");
  EXPECT_EQ(TfConfigOfGroups(2, mirrored),
            R"({"cluster":{"worker":["algo-2:8890","algo-3:8890","algo-4:8890"]},"environment":"cloud",)"
            R"("task":{"index":1,"type":"worker"}})");
}

TEST(TensorFlowClusterTest, TheServersVariablesAreTheProgramsButForThePlaceInTheCluster) {
  driver::InstanceSpec spec;
  spec.rank = 1;
  spec.count = 2;
  EXPECT_THAT(ParameterServerVariables(spec, ClusterLayout::kCoordinated,
                                       {"A=1", "TF_CONFIG={}", "PYTHONPATH=/opt/ml/code", "CUDA_VISIBLE_DEVICES=0"}),
              ElementsAre("A=1",
                          R"(TF_CONFIG={"cluster":{"chief":["algo-1:2222"],"ps":["algo-1:2223","algo-2:2223"],)"
                          R"("worker":["algo-2:2222"]},"environment":"cloud","task":{"index":1,"type":"ps"}})",
                          "CUDA_VISIBLE_DEVICES=-1"));
}

TEST(TensorFlowClusterTest, LayoutsThatCannotBeHadAreRefusedByName) {
  driver::InstanceSpec spec = SdkJob();
  auto message = [&](const std::map<std::string, std::string>& added) {
    driver::InstanceSpec changed = spec;
    changed.hyperparameters.insert(added.begin(), added.end());
    Result<std::vector<std::string>> command =
        ProgramCommand(changed, Hyperparameters::Decode(changed.hyperparameters));
    return command ? std::string("accepted") : command.error().message;
  };
  EXPECT_THAT(message({{"sagemaker_parameter_server_layout", "\"boss\""}}),
              HasSubstr("sagemaker_parameter_server_layout is \"master\" (the hosted layout) or \"chief\""));
  EXPECT_THAT(message({{"sagemaker_parameter_server_enabled", "true"},
                       {"sagemaker_multi_worker_mirrored_strategy_enabled", "true"}}),
              HasSubstr("enable one of them"));
  EXPECT_EQ(message({{"sagemaker_parameter_server_enabled", "true"}}), "accepted");
}

TEST(FailureTextTest, AParameterServersEndIsToldWithItsLastWords) {
  std::deque<std::string> lines = {"Traceback (most recent call last):", "  File \"<string>\", line 2, in <module>",
                                   "ModuleNotFoundError: No module named 'tensorflow'"};
  EXPECT_EQ(ParameterServerFailure({1, 0, false, 0}, lines),
            "ParameterServerError:\nThe parameter server that runs beside the program ended by itself (exit code 1).\n"
            "ErrorMessage \"ModuleNotFoundError: No module named 'tensorflow'\"");
  EXPECT_THAT(ParameterServerFailure({0, 9, false, 0}, {}), HasSubstr("killed by signal 9 (SIGKILL)"));
}

TEST(FailureTextTest, AServersEndIsToldInItsLastWords) {
  std::deque<std::string> logged = {R"({"level":"error","event":"start_failed","error":"no SavedModel"})",
                                    R"({"level":"info","event":"stopped","error":"not this"})", "terminate called"};
  EXPECT_EQ(ServerFailure({1, 0, false, 0}, logged),
            "the server ended with exit code 1 before it was stopped: no SavedModel");
  EXPECT_EQ(ServerFailure({0, 6, false, 0}, {"[1, 2]", "terminate called"}),
            "the server was killed by signal 6 (SIGABRT) before it was stopped: [1, 2]\nterminate called");
  EXPECT_EQ(ServerFailure({0, 0, false, 0}, {}), "the server ended with exit code 0 before it was stopped");
  EXPECT_THAT(ServerFailure({0, 9, true, 1 << 30}, {}), HasSubstr("OutOfMemory: the server was killed"));
}

TEST(FailureTextTest, TheExceptionIsWhatIsSaid) {
  std::deque<std::string> lines = {
      "epoch 1", "Traceback (most recent call last):", "  File \"train.py\", line 3, in <module>",
      "    f()", "ValueError: no such layer",          "it was called dense_7"};
  EXPECT_EQ(ProgramFailure({1, 0, false, 0}, lines, {"python", "train.py", "--epochs", "2"}),
            "ExecuteUserScriptError:\nExitCode 1\nErrorMessage \"ValueError: no such layer\nit was called dense_7\"\n"
            "Command \"python train.py --epochs 2\"");
}

TEST(FailureTextTest, SyntaxErrorsSignalsAndMemory) {
  std::deque<std::string> syntax = {"  File \"/opt/ml/code/train.py\", line 1", "    foo(", "       ^",
                                    "SyntaxError: '(' was never closed"};
  EXPECT_THAT(ProgramFailure({1, 0, false, 0}, syntax, {"p"}),
              HasSubstr("train.py\", line 1\n    foo(\n       ^\nSyntaxError: '(' was never closed"));
  EXPECT_THAT(ProgramFailure({0, 11, false, 0}, {}, {"p"}),
              HasSubstr("ExitCode 139\nErrorMessage \"killed by signal 11 (SIGSEGV)\""));
  EXPECT_THAT(ProgramFailure({0, 9, true, 1 << 30}, {}, {"p"}), HasSubstr("OutOfMemory: "));
  EXPECT_THAT(ProgramFailure({0, 9, true, 1 << 30}, {}, {"p"}), HasSubstr("1.0 GiB"));
}

TEST(FailureTextTest, IsNeverLongerThanTheInterfaceAllows) {
  EXPECT_TRUE(rc::check([](const std::vector<std::string>& lines, const std::vector<std::string>& command) {
    std::deque<std::string> tail(lines.begin(), lines.end());
    tail.push_back(std::string(5000, 'x'));
    std::string text = ProgramFailure({1, 0, false, 0}, tail, command);
    size_t characters = 0;
    for (char c : text) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    RC_ASSERT(characters <= kMaxFailureCharacters);
  }));
  EXPECT_EQ(CutCharacters("\u00e4\u00e4\u00e4", 2), "\u00e4\u00e4");
  EXPECT_EQ(CutCharacters("a\xff", 5), "a\uFFFD");
}

TEST(FailureTextTest, PipsErrorsAreTold) {
  std::deque<std::string> lines = {"Collecting nosuch", "ERROR: Could not find a version",
                                   "ERROR: No matching distribution", "noise"};
  std::string text = InstallFailure("requirements.txt", 1, lines);
  EXPECT_THAT(text, HasSubstr("ERROR: Could not find a version\nERROR: No matching distribution"));
  EXPECT_THAT(text, HasSubstr("requirements.txt"));
  EXPECT_THAT(text, Not(HasSubstr("noise")));
}

}  // namespace
}  // namespace sagebrush::agent
