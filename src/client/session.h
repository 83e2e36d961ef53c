#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "client/transport.h"
#include "http/client.h"
#include "wire/sigv4.h"

namespace sagebrush::client {

// Where an engine is and as whom to call it.
struct Target {
  std::string endpoint;  // http://host:port
  wire::Credentials credentials;
  std::string region;
};

using TargetSource = std::function<Result<Target>()>;

// A signed connection to an engine. Asks `source` where the engine is at the first call and again after the
// connection was lost, so that it finds an engine that came back elsewhere. One thread at a time.
class Session final : public Transport {
 public:
  explicit Session(TargetSource source);
  ~Session() override;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Signs and sends; a kept connection that turns out closed is opened anew once. Deadline: 30 s.
  Result<std::string> CallJson(const Operation& operation, std::string_view body) override;
  // The same with a connection of its own, as models may take their time: the engine's limit counts.
  Result<InvocationReply> Invoke(const Invocation& invocation) override;

 private:
  struct Connection;
  Result<void> Connect();
  http::ClientRequest Signed(http::ClientRequest request, std::string_view service) const;

  TargetSource source_;
  std::unique_ptr<Connection> connection_;
};

// The Error of an error reply in the AWS JSON form: its code, its message, a kind after code and status.
Error ErrorFromReply(int status, std::string_view body);

}  // namespace sagebrush::client
