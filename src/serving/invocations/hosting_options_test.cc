#include "serving/invocations/hosting_options.h"

#include <gmock/gmock.h>

#include "io/cores.h"

namespace sagebrush::serving {
namespace {

using ::testing::HasSubstr;

HostingOptions Read(const Environment& environment) {
  Result<HostingOptions> options = ReadHostingOptions(environment);
  EXPECT_TRUE(options) << options.error().message;
  return options.value_or(HostingOptions{});
}

std::string Refusal(const Environment& environment) {
  Result<HostingOptions> options = ReadHostingOptions(environment);
  EXPECT_FALSE(options);
  return options ? "" : options.error().message;
}

TEST(HostingOptions, HasTheContainersDefaults) {
  HostingOptions options = Read({});
  EXPECT_EQ(options.bind_port, 8080);
  EXPECT_EQ(options.rest_port, 8501);
  EXPECT_EQ(options.grpc_port, 9000);
  EXPECT_EQ(options.wait_time, std::chrono::seconds(300));
  EXPECT_EQ(options.handler_timeout, std::chrono::seconds(30));
  EXPECT_EQ(options.request_timeout, std::chrono::seconds(60));
  EXPECT_EQ(options.handler_workers, 1);
  EXPECT_FALSE(options.batching || options.multi_model || options.batch_transform);
  EXPECT_FALSE(options.intra_op_threads || options.inter_op_threads);
}

TEST(HostingOptions, ReadsEveryVariable) {
  HostingOptions options = Read({{"SAGEMAKER_BIND_TO_PORT", "8081"},
                                 {"SAGEMAKER_SAFE_PORT_RANGE", "9100-9199"},
                                 {"SAGEMAKER_TFS_DEFAULT_MODEL_NAME", "half"},
                                 {"SAGEMAKER_MULTI_MODEL", "True"},
                                 {"SAGEMAKER_TFS_INTRA_OP_PARALLELISM", "2"},
                                 {"SAGEMAKER_TFS_INTER_OP_PARALLELISM", "0"},
                                 {"SAGEMAKER_TFS_WAIT_TIME_SECONDS", "10"},
                                 {"SAGEMAKER_GUNICORN_WORKERS", "3"},
                                 {"SAGEMAKER_GUNICORN_THREADS", "2"},
                                 {"SAGEMAKER_GUNICORN_TIMEOUT_SECONDS", "5"},
                                 {"SAGEMAKER_GUNICORN_WORKER_CLASS", "gevent"},
                                 {"SAGEMAKER_GUNICORN_LOGLEVEL", "info"},
                                 {"SAGEMAKER_TFS_NGINX_LOGLEVEL", "error"},
                                 {"SAGEMAKER_NGINX_PROXY_READ_TIMEOUT_SECONDS", "120"},
                                 {"UNRELATED", "value"}});
  EXPECT_EQ(options.bind_port, 8081);
  EXPECT_EQ(options.grpc_port, 9100);
  EXPECT_EQ(options.rest_port, 9101);
  EXPECT_EQ(options.default_model, "half");
  EXPECT_TRUE(options.multi_model);
  EXPECT_EQ(options.intra_op_threads, 2);
  EXPECT_EQ(options.inter_op_threads, 0);
  EXPECT_EQ(options.wait_time, std::chrono::seconds(10));
  EXPECT_EQ(options.handler_workers, 6);
  EXPECT_EQ(options.handler_timeout, std::chrono::seconds(5));
  EXPECT_EQ(options.request_timeout, std::chrono::seconds(120));
  EXPECT_EQ(Read({{"SAGEMAKER_GUNICORN_TIMEOUT_SECONDS", "90"}}).request_timeout, std::chrono::seconds(90));
}

TEST(HostingOptions, BatchesWithTheContainersParametersWhenAsked) {
  auto cores = static_cast<size_t>(io::UsableCores());
  HostingOptions options = Read({{"SAGEMAKER_TFS_ENABLE_BATCHING", "true"}});
  ASSERT_TRUE(options.batching);
  EXPECT_EQ(options.batching->max_batch_size, 8U);
  EXPECT_EQ(options.batching->batch_timeout, std::chrono::microseconds(1000));
  EXPECT_EQ(options.batching->num_batch_threads, cores);
  EXPECT_EQ(options.batching->max_enqueued_batches, cores);

  options = Read({{"SAGEMAKER_TFS_ENABLE_BATCHING", "true"}, {"SAGEMAKER_BATCH", "true"}});
  ASSERT_TRUE(options.batching);
  EXPECT_TRUE(options.batch_transform);
  EXPECT_EQ(options.batching->max_enqueued_batches, 100'000'000U);

  options = Read({{"SAGEMAKER_TFS_ENABLE_BATCHING", "true"},
                  {"SAGEMAKER_TFS_MAX_BATCH_SIZE", "16"},
                  {"SAGEMAKER_TFS_BATCH_TIMEOUT_MICROS", "0"},
                  {"SAGEMAKER_TFS_NUM_BATCH_THREADS", "3"},
                  {"SAGEMAKER_TFS_MAX_ENQUEUED_BATCHES", "7"}});
  ASSERT_TRUE(options.batching);
  EXPECT_EQ(options.batching->max_batch_size, 16U);
  EXPECT_EQ(options.batching->batch_timeout, std::chrono::microseconds(0));
  EXPECT_EQ(options.batching->num_batch_threads, 3U);
  EXPECT_EQ(options.batching->max_enqueued_batches, 7U);
}

TEST(HostingOptions, NamesTheVariableThatItRefuses) {
  EXPECT_THAT(Refusal({{"SAGEMAKER_TFS_ENABLE_BATCHING", "yes"}}),
              HasSubstr("SAGEMAKER_TFS_ENABLE_BATCHING is \"yes\": it must be true or false"));
  EXPECT_THAT(Refusal({{"SAGEMAKER_BIND_TO_PORT", "99999"}}), HasSubstr("from 1 to 65535"));
  EXPECT_THAT(Refusal({{"SAGEMAKER_TFS_MAX_BATCH_SIZE", "0"}}), HasSubstr("SAGEMAKER_TFS_MAX_BATCH_SIZE"));
  EXPECT_THAT(Refusal({{"SAGEMAKER_SAFE_PORT_RANGE", "9000"}}), HasSubstr("LOW-HIGH"));
  EXPECT_THAT(Refusal({{"SAGEMAKER_SAFE_PORT_RANGE", "9001-9000"}}), HasSubstr("LOW-HIGH"));
  EXPECT_THAT(Refusal({{"SAGEMAKER_BIND_TO_PORT", "9000"}}), HasSubstr("choose another"));
  EXPECT_THAT(Refusal({{"SAGEMAKER_GUNICORN_WORKERS", "two"}}), HasSubstr("SAGEMAKER_GUNICORN_WORKERS"));
  EXPECT_THAT(Refusal({{"SAGEMAKER_GUNICORN_WORKERS", "100"}, {"SAGEMAKER_GUNICORN_THREADS", "100"}}),
              HasSubstr("256 are the most"));
  EXPECT_THAT(Refusal({{"SAGEMAKER_GUNICORN_WORKER_CLASS", "magic"}}), HasSubstr("gevent"));
  EXPECT_THAT(Refusal({{"SAGEMAKER_TFS_NGINX_LOGLEVEL", "loud"}}), HasSubstr("warn"));
  EXPECT_THAT(Refusal({{"SAGEMAKER_NGINX_PROXY_READ_TIMEOUT_SECONDS", "-1"}}), HasSubstr("READ_TIMEOUT"));
}

}  // namespace
}  // namespace sagebrush::serving
