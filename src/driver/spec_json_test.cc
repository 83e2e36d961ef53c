#include "driver/spec_json.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "driver/log_spool.h"

namespace sagebrush::driver {
namespace {

rc::Gen<std::string> Text() { return rc::gen::container<std::string>(rc::gen::inRange<char>(1, 127)); }

InstanceSpec AnySpec() {
  InstanceSpec spec;
  spec.id = InstanceId("i" + *Text());
  spec.job = JobName(*Text());
  spec.job_arn = *Text();
  spec.epoch = Epoch{*rc::gen::arbitrary<int64_t>()};
  spec.rank = *rc::gen::arbitrary<int>();
  spec.count = *rc::gen::arbitrary<int>();
  spec.commands = "/c" + std::to_string(spec.count);
  spec.instance_type = *Text();
  spec.limits = {*rc::gen::inRange(0, 1000) / 8.0, *rc::gen::arbitrary<int64_t>(), *rc::gen::arbitrary<int64_t>()};
  spec.environment = {*Text(), {*Text(), *Text()}, *Text()};
  spec.channels = {{*Text(), *Text()}, {*Text(), *Text()}};
  spec.checkpoints = {*Text(), *Text()};
  spec.source_archive = *Text();
  spec.hyperparameters = *rc::gen::container<std::map<std::string, std::string>>(Text(), Text());
  spec.input_data_config_json = *Text();
  spec.resource_config_json = *Text();
  spec.variables = *rc::gen::container<std::map<std::string, std::string>>(Text(), Text());
  spec.entrypoint = *rc::gen::container<std::vector<std::string>>(Text());
  spec.arguments = *rc::gen::container<std::vector<std::string>>(Text());
  spec.network_isolation = *rc::gen::arbitrary<bool>();
  spec.held = *rc::gen::arbitrary<bool>();
  spec.compress_model = *rc::gen::arbitrary<bool>();
  spec.stop_grace_ms = *rc::gen::arbitrary<int64_t>();
  spec.engine_socket = *Text();
  if (*rc::gen::arbitrary<bool>()) {
    spec.service = Service{*Text(), *rc::gen::container<std::vector<std::string>>(Text()),
                           *rc::gen::arbitrary<uint16_t>(), *Text()};
  }
  return spec;
}

void ExpectSame(const InstanceSpec& a, const InstanceSpec& b) {
  RC_ASSERT(a.id == b.id && a.job == b.job && a.job_arn == b.job_arn && a.epoch == b.epoch);
  RC_ASSERT(a.rank == b.rank && a.count == b.count && a.commands == b.commands && a.instance_type == b.instance_type);
  RC_ASSERT(a.limits.vcpus == b.limits.vcpus && a.limits.memory_bytes == b.limits.memory_bytes);
  RC_ASSERT(a.limits.pids == b.limits.pids && a.environment.venv == b.environment.venv);
  RC_ASSERT(a.environment.read_only == b.environment.read_only && a.environment.note == b.environment.note);
  RC_ASSERT(a.channels.size() == b.channels.size());
  for (size_t i = 0; i < a.channels.size(); ++i) {
    RC_ASSERT(a.channels[i].name == b.channels[i].name && a.channels[i].links == b.channels[i].links);
  }
  RC_ASSERT(a.checkpoints.directory == b.checkpoints.directory && a.checkpoints.path == b.checkpoints.path);
  RC_ASSERT(a.held == b.held);
  RC_ASSERT(a.source_archive == b.source_archive && a.hyperparameters == b.hyperparameters);
  RC_ASSERT(a.input_data_config_json == b.input_data_config_json && a.variables == b.variables);
  RC_ASSERT(a.resource_config_json == b.resource_config_json && a.engine_socket == b.engine_socket);
  RC_ASSERT(a.entrypoint == b.entrypoint && a.arguments == b.arguments && a.stop_grace_ms == b.stop_grace_ms);
  RC_ASSERT(a.network_isolation == b.network_isolation && a.compress_model == b.compress_model);
  RC_ASSERT(a.service.has_value() == b.service.has_value());
  if (!a.service) return;
  RC_ASSERT(a.service->model_archive == b.service->model_archive && a.service->command == b.service->command);
  RC_ASSERT(a.service->port == b.service->port && a.service->model_source == b.service->model_source);
}

TEST(SpecJsonTest, EverySpecSurvivesTheRoundTrip) {
  EXPECT_TRUE(rc::check([] {
    InstanceSpec spec = AnySpec();
    Result<InstanceSpec> back = SpecFromJson(SpecToJson(spec));
    RC_ASSERT(back.has_value());
    ExpectSame(spec, *back);
  }));
}

TEST(SpecJsonTest, EveryStatusSurvivesTheRoundTrip) {
  EXPECT_TRUE(rc::check([] {
    InstanceStatus status;
    status.id = InstanceId(*Text());
    status.epoch = Epoch{*rc::gen::arbitrary<int64_t>()};
    status.phase = static_cast<Phase>(*rc::gen::inRange(0, 7));
    status.started_ms = *rc::gen::arbitrary<int64_t>();
    status.ready_ms = *rc::gen::arbitrary<int64_t>();
    status.training_started_ms = *rc::gen::arbitrary<int64_t>();
    status.training_ended_ms = *rc::gen::arbitrary<int64_t>();
    status.ended_ms = *rc::gen::arbitrary<int64_t>();
    status.succeeded = *rc::gen::arbitrary<bool>();
    status.stopped = *rc::gen::arbitrary<bool>();
    status.exit_code = *rc::gen::arbitrary<int>();
    status.signal = *rc::gen::arbitrary<int>();
    status.out_of_memory = *rc::gen::arbitrary<bool>();
    status.machine_failed = *rc::gen::arbitrary<bool>();
    status.failure_reason = *Text();
    status.model_archive = *Text();
    status.output_archive = *Text();
    Result<InstanceStatus> back = StatusFromJson(StatusToJson(status));
    RC_ASSERT(back.has_value());
    RC_ASSERT(StatusToJson(*back) == StatusToJson(status));
    RC_ASSERT(back->phase == status.phase && back->failure_reason == status.failure_reason);
    RC_ASSERT(back->model_archive == status.model_archive && back->ended_ms == status.ended_ms);
    RC_ASSERT(back->ready_ms == status.ready_ms && back->machine_failed == status.machine_failed);
  }));
}

TEST(SpecJsonTest, DamageIsNamed) {
  EXPECT_EQ(SpecFromJson("{\"id\":").error().kind, ErrorKind::kDataLoss);
  Result<InstanceSpec> wrong = SpecFromJson("{\"id\":\"a\",\"rank\":\"zero\"}");
  ASSERT_FALSE(wrong.has_value());
  EXPECT_NE(wrong.error().message.find("rank"), std::string::npos);
  EXPECT_FALSE(SpecFromJson("{\"id\":\"a\",\"service\":{\"port\":65536}}").has_value()) << "no port has this number";
  EXPECT_FALSE(StatusFromJson("{\"id\":\"a\",\"phase\":\"Asleep\"}").has_value());
  EXPECT_TRUE(SpecFromJson("{\"id\":\"a\",\"a field of the future\":1}").has_value());
}

TEST(LogSpoolTest, ATornTailIsNotSeenAndComesLater) {
  std::string spool;
  AppendLogRecord(spool, 1000, "one");
  AppendLogRecord(spool, 1001, "");
  AppendLogRecord(spool, 1002, "three");
  for (size_t length = 0; length <= spool.size(); ++length) {
    Result<LogChunk> head = ParseLogRecords(std::string_view(spool).substr(0, length), 0);
    ASSERT_TRUE(head.has_value()) << length;
    Result<LogChunk> rest = ParseLogRecords(std::string_view(spool).substr(head->next_offset), head->next_offset);
    ASSERT_TRUE(rest.has_value()) << length;
    EXPECT_EQ(head->records.size() + rest->records.size(), 3u);
    EXPECT_EQ(rest->next_offset, head->next_offset == spool.size() ? head->next_offset : spool.size());
  }
  EXPECT_FALSE(ParseLogRecords(spool.substr(2), 2).has_value() && ParseLogRecords("garbage\n", 0).has_value());
}

}  // namespace
}  // namespace sagebrush::driver
