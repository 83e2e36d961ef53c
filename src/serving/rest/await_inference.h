#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "serving/rest/rest_inference.h"

namespace sagebrush::serving {

namespace asio = boost::asio;

// co_await RunRestInference: the reply comes back on the caller's executor, whose context outlives the call.
// `service` outlives it too. The call is not cancelled with the coroutine: its context's deadline and `abandoned` end
// it.
inline asio::awaitable<RestReply> AwaitRestInference(ModelService& service, RestCall call) {
  auto executor = co_await asio::this_coro::executor;
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(RestReply)>(
      [&service, executor](auto handler, RestCall call) {
        RunRestInference(service, std::move(call), [executor, handler = std::move(handler)](RestReply reply) mutable {
          asio::post(executor, [handler = std::move(handler), reply = std::move(reply)]() mutable {
            std::move(handler)(std::move(reply));
          });
        });
      },
      asio::use_awaitable, std::move(call));
}

}  // namespace sagebrush::serving
