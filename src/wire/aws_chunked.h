#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sagebrush::wire {

// Undoes S3's `aws-chunked` content encoding, whatever pieces the body arrives in:
//   <hex length>[;extension]* CRLF <data> CRLF … 0[;extension]* CRLF (<name>:<value> CRLF)* CRLF
// Source: Amazon S3 API Reference, "Signature calculations: transferring payload in multiple chunks" and "trailing
// headers"; botocore's AwsChunkedWrapper. Extensions (chunk-signature) are read over: the caller refuses the signed
// variants. Errors are InvalidArgument with code IncompleteBody or InvalidChunkSizeError; after one the decoder refuses
// everything. Not thread-safe.
class AwsChunkedDecoder {
 public:
  // Appends the data in `input` to `output`.
  Result<void> Decode(std::string_view input, std::string& output);
  // To call at the end of the body: an error when it is not whole.
  Result<void> Finish() const;

  uint64_t decoded_bytes() const { return decoded_bytes_; }
  // Names in lower case; complete after Finish.
  const std::map<std::string, std::string>& trailers() const { return trailers_; }

 private:
  enum class State { kSize, kData, kDataEnd, kTrailer, kDone, kBroken };

  Result<void> TakeLine(std::string_view line);
  Result<void> TakeSize(std::string_view line);
  Result<void> TakeTrailer(std::string_view line);
  Error Broken(std::string message, std::string code = "IncompleteBody");

  State state_ = State::kSize;
  std::string line_;  // of the framing, so far; without the LF
  uint64_t remaining_ = 0;
  uint64_t decoded_bytes_ = 0;
  size_t trailer_bytes_ = 0;
  std::map<std::string, std::string> trailers_;
};

}  // namespace sagebrush::wire
