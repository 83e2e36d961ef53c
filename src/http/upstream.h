#pragma once

#include <memory>
#include <string>

#include "http/body.h"
#include "http/client.h"
#include "http/transport.h"

namespace sagebrush::http {

// The head of the final response; interim ones (1xx) are dropped. `buffer` keeps what was read past it.
asio::awaitable<Result<MessageParser>> ReadResponseHead(Transport& upstream, std::string& buffer, size_t limit,
                                                        Millis deadline);

// A kept connection to a server behind this one, for a request at a time. Used on its executor only; owned by
// shared_ptr, as the reader of a response's body outlives the call that began it.
class Upstream : public std::enable_shared_from_this<Upstream> {
 public:
  Upstream(const asio::any_io_executor& executor, io::UniqueFd connected);

  struct Reply {
    MessageHead head;
    std::unique_ptr<MessageBody> body;  // of this connection: read it to its end, or drop both
  };
  // What became of the sending of a request.
  struct Sending {
    bool began = false;  // the server may have seen some of it; only when not, it may be sent again elsewhere
    bool broke = false;  // the rest of its body could not be read: that is the error, and the connection is of no use
  };
  // Sends a request and reads the head of its response. The body is request.body and then all of `rest` (null: nothing
  // more), read while it is sent; with a rest the request's headers state the Content-Length of both. A server that
  // answers before it has taken all of it ends the sending: `rest` is then read in part. kDeadlineExceeded when the
  // response has not begun by `deadline` after the request; `stall` is for each step of the sending, and of the reading
  // of the body.
  asio::awaitable<Result<Reply>> Exchange(const ClientRequest& request, BodyReader* rest, Millis deadline, Millis stall,
                                          Sending& sending);

  // Between requests: whether the server has not closed the connection meanwhile.
  bool usable() { return !transport_->PeerGone(); }
  // After a reply whose body was read to its end: whether another request may follow. Not when the server answered
  // before it had taken all of the last one, of which it would take the next for the rest.
  bool reusable() const { return keep_alive_; }

 private:
  // Whether the server has taken all of it; an error only when the rest could not be read.
  asio::awaitable<Result<bool>> SendRest(BodyReader& rest, Millis stall, Sending& sending);

  std::shared_ptr<Transport> transport_;
  std::string buffer_;
  bool keep_alive_ = false;
};

}  // namespace sagebrush::http
