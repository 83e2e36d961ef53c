#pragma once

#include <string>

#include "wire/sigv4.h"

namespace sagebrush::api {

// Who calls and under which request id; made by the edge after the signature is verified.
struct CallContext {
  wire::VerifiedCaller caller;
  std::string request_id;
  std::string invocation_id;  // amz-sdk-invocation-id: constant over a client's retries of one call; "" when absent
};

// What every service knows of this installation.
struct Installation {
  std::string account = "000000000000";  // 12 digits
  std::string region = "us-west-2";
};

}  // namespace sagebrush::api
