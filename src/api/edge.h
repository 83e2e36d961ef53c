#pragma once

#include "api/call_context.h"
#include "api/json_service.h"
#include "api/query_service.h"
#include "api/runtime.h"
#include "api/s3/s3.h"
#include "base/clock.h"
#include "control/credentials.h"
#include "http/message.h"
#include "io/runtime.h"

namespace sagebrush::api {

// The one port's front door: finds the service that a request is for, verifies its signature before anything else is
// looked at, and hands it on. Stateless; the services outlive it. Handle runs on the io threads; services' calls run
// on the blocking pool.
//
// Routes, first match (contract: what the AWS clients put on the wire):
//   GET /_sagebrush/health                            no signature; {"status":"ok",…}
//   X-Amz-Target: SageMaker.* | Logs_20140328.* |     JSON services; CloudWatch's clients compress large bodies
//                 GraniteServiceVersion20100801.*
//   POST /endpoints/NAME/… not signed for S3          SageMaker's runtime; verified and answered on the io threads,
//                                                     large bodies while they come (SignedBody)
//   POST / with a form body                           Query services (STS, IAM, CloudWatch of older clients)
//   anything else                                     S3, path style or virtual host
class Edge {
 public:
  struct Services {
    const JsonService& sagemaker;
    const JsonService& logs;
    const JsonService& metrics;
    const QueryService& query;
    const RuntimeApi& runtime;
    S3Service& s3;
  };
  Edge(io::Runtime& runtime, Services services, const control::KeyRing& keys, const Clock& clock)
      : runtime_(runtime), services_(services), keys_(keys), clock_(clock) {}

  http::asio::awaitable<http::Response> Handle(http::Request& request);

 private:
  http::asio::awaitable<http::Response> HandleJson(http::Request& request, const JsonService* service,
                                                   std::string operation);
  http::asio::awaitable<http::Response> HandleRuntime(http::Request& request);
  http::asio::awaitable<http::Response> StreamToRuntime(http::Request& request, uint64_t length);
  http::asio::awaitable<http::Response> HandleQuery(http::Request& request);
  http::asio::awaitable<http::Response> HandleS3(http::Request& request);
  Result<CallContext> Verify(const http::Request& request, std::string_view payload_hash, bool is_s3) const;

  io::Runtime& runtime_;
  const Services services_;
  const control::KeyRing& keys_;
  const Clock& clock_;
};

}  // namespace sagebrush::api
