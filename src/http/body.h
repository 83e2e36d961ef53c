#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "http/message.h"
#include "http/parser.h"
#include "http/transport.h"

namespace sagebrush::http {

// The body of one message on a connection, request or response. `buffer` holds bytes read past the head and, in the
// end, those past the body. Transport and buffer belong to the connection and outlive this object.
class MessageBody final : public BodyReader {
 public:
  // `until_eof`: neither length nor chunks, a response that ends with its connection.
  MessageBody(Transport& transport, std::string& buffer, MessageParser parser, Millis stall, bool until_eof);

  // Send "100 Continue" before waiting for the first byte.
  void ExpectContinue() { continue_owed_ = true; }
  bool continue_owed() const { return continue_owed_ && !finished_; }

  asio::awaitable<Result<std::string>> Read(size_t limit) override;
  std::optional<uint64_t> length() const override { return length_; }

  // Nothing of the body is left on the wire.
  bool finished() const { return finished_; }
  bool failed() const { return failed_; }
  // What is known to be left; nullopt for chunked bodies.
  std::optional<uint64_t> left() const { return length_ ? std::optional(left_) : std::nullopt; }
  // Reads and drops up to `limit` bytes; whether the end was reached.
  asio::awaitable<bool> Drain(uint64_t limit);

 private:
  asio::awaitable<Result<std::string>> ReadPiece(size_t limit);
  asio::awaitable<Result<std::string>> ReadPlain(size_t limit);
  asio::awaitable<Result<std::string>> ReadChunked(size_t limit);
  asio::awaitable<Result<size_t>> Fill();  // reads some bytes into buffer_

  Transport& transport_;
  std::string& buffer_;
  MessageParser parser_;
  Millis stall_;
  bool chunked_, until_eof_, continue_owed_ = false, finished_ = false, failed_ = false;
  std::optional<uint64_t> length_;
  uint64_t left_ = 0;
  std::string decoded_;  // of a chunked body, not yet handed out
  size_t decoded_at_ = 0;
};

// Sends all of a body; with `chunk` it is framed anew, for who does not know its length.
asio::awaitable<Result<void>> CopyBody(BodyReader& body, Transport& to, bool chunk, Millis stall);

}  // namespace sagebrush::http
