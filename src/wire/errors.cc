#include "wire/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/log.h"
#include "base/text.h"

namespace sagebrush::wire {
namespace {

struct CodeStatus {
  std::string_view code;
  int status;
};

// S3 gives each code a status of its own (S3 API Reference, "Error responses"). Sorted by code.
constexpr std::array kS3Statuses = std::to_array<CodeStatus>({
    {"AccessDenied", 403},
    {"AuthorizationHeaderMalformed", 400},
    {"BadDigest", 400},
    {"BucketAlreadyExists", 409},
    {"BucketAlreadyOwnedByYou", 409},
    {"BucketNotEmpty", 409},
    {"ConditionalRequestConflict", 409},
    {"EntityTooLarge", 400},
    {"EntityTooSmall", 400},
    {"ExpiredToken", 400},
    {"IncompleteBody", 400},
    {"IncompleteSignature", 400},
    {"InternalError", 500},
    {"InvalidAccessKeyId", 403},
    {"InvalidArgument", 400},
    {"InvalidBucketName", 400},
    {"InvalidDigest", 400},
    {"InvalidPart", 400},
    {"InvalidPartOrder", 400},
    {"InvalidRange", 416},
    {"InvalidRequest", 400},
    {"InvalidToken", 400},
    {"InvalidURI", 400},
    {"KeyTooLongError", 400},
    {"MalformedXML", 400},
    {"MaxMessageLengthExceeded", 400},
    {"MetadataTooLarge", 400},
    {"MethodNotAllowed", 405},
    {"MissingContentLength", 411},
    {"NoSuchBucket", 404},
    {"NoSuchBucketPolicy", 404},
    {"NoSuchKey", 404},
    {"NoSuchTagSet", 404},
    {"NoSuchUpload", 404},
    {"NoSuchVersion", 404},
    {"NotFound", 404},
    {"NotImplemented", 501},
    {"NotModified", 304},
    {"OperationAborted", 409},
    {"PreconditionFailed", 412},
    {"RequestTimeTooSkewed", 403},
    {"RequestTimeout", 400},
    {"ServiceUnavailable", 503},
    {"SignatureDoesNotMatch", 403},
    {"SlowDown", 503},
    {"TooManyBuckets", 400},
    {"XAmzContentSHA256Mismatch", 400},
});
static_assert(std::ranges::is_sorted(kS3Statuses, {}, &CodeStatus::code));

// Codes of the other families that are not 400 by their kind.
constexpr std::array kOtherStatuses = std::to_array<CodeStatus>({
    {"AccessDenied", 403},
    {"AccessDeniedException", 403},
    {"ExpiredToken", 403},
    {"ExpiredTokenException", 403},
    {"IncompleteSignatureException", 403},
    {"InvalidClientTokenId", 403},
    {"InvalidSignatureException", 403},
    {"MissingAuthenticationToken", 403},
    {"MissingAuthenticationTokenException", 403},
    {"NoSuchEntity", 404},
    {"SignatureDoesNotMatch", 403},
    {"UnrecognizedClientException", 403},
});

// What a kind is called where the error names no code: per family, and the status.
struct KindRow {
  ErrorKind kind;
  std::string_view json, query, s3;
  int status, s3_status;
};
constexpr KindRow kKinds[] = {
    {ErrorKind::kInvalidArgument, "ValidationException", "ValidationError", "InvalidRequest", 400, 400},
    {ErrorKind::kUnauthenticated, "MissingAuthenticationTokenException", "MissingAuthenticationToken", "AccessDenied",
     403, 403},
    {ErrorKind::kPermissionDenied, "AccessDeniedException", "AccessDenied", "AccessDenied", 400, 403},
    {ErrorKind::kNotFound, "ResourceNotFound", "NoSuchEntity", "NoSuchKey", 400, 404},
    {ErrorKind::kAlreadyExists, "ResourceInUse", "EntityAlreadyExists", "BucketAlreadyExists", 400, 409},
    {ErrorKind::kFailedPrecondition, "ValidationException", "ValidationError", "PreconditionFailed", 400, 412},
    {ErrorKind::kResourceExhausted, "ResourceLimitExceeded", "LimitExceeded", "EntityTooLarge", 400, 400},
    {ErrorKind::kUnsupported, "ValidationException", "ValidationError", "NotImplemented", 400, 501},
    {ErrorKind::kDeadlineExceeded, "ServiceUnavailable", "ServiceUnavailable", "ServiceUnavailable", 503, 503},
    {ErrorKind::kCancelled, "RequestAbortedException", "RequestAborted", "RequestTimeout", 400, 400},
    {ErrorKind::kUnavailable, "ServiceUnavailable", "ServiceUnavailable", "SlowDown", 503, 503},
    {ErrorKind::kDataLoss, "InternalFailure", "InternalFailure", "InternalError", 500, 500},
    {ErrorKind::kInternal, "InternalFailure", "InternalFailure", "InternalError", 500, 500},
};

const KindRow& RowOf(ErrorKind kind) {
  return *std::ranges::find(kKinds, kind, &KindRow::kind);  // total: checked by errors_test
}

bool IsServerFault(ErrorKind kind) {
  return kind == ErrorKind::kUnavailable || kind == ErrorKind::kDataLoss || kind == ErrorKind::kInternal ||
         kind == ErrorKind::kDeadlineExceeded;
}

// The same fault has another name in each family.
std::string_view InFamily(std::string_view code, ErrorStyle style) {
  if (style == ErrorStyle::kQuery) {
    if (code == "InvalidSignatureException") return "SignatureDoesNotMatch";
    if (code == "UnrecognizedClientException") return "InvalidClientTokenId";
    if (code == "ValidationException") return "ValidationError";
  } else if (style == ErrorStyle::kJson) {
    if (code == "MissingAuthenticationToken") return "MissingAuthenticationTokenException";
    if (code == "IncompleteSignature") return "IncompleteSignatureException";
    if (code == "ExpiredToken") return "ExpiredTokenException";
    if (code == "AccessDenied") return "AccessDeniedException";
  }
  return code;
}

int StatusOf(std::string_view code, const KindRow& row, ErrorStyle style) {
  auto find = [&](const auto& table) -> int {
    auto at = std::ranges::find(table, code, &CodeStatus::code);
    return at == table.end() ? 0 : at->status;
  };
  if (style == ErrorStyle::kS3) {
    int status = find(kS3Statuses);
    return status != 0 ? status : row.s3_status;
  }
  // A coded server fault keeps the status of its kind; a coded user mistake is 400 unless it is about identity.
  if (IsServerFault(row.kind)) return row.status;
  int status = find(kOtherStatuses);
  return status != 0 ? status : 400;
}

}  // namespace

WireError ToWireError(const Error& error, ErrorStyle style) {
  const KindRow& row = RowOf(error.kind);
  WireError out;
  out.message = error.message;
  if (!error.code.empty()) {
    out.code = InFamily(error.code, style);
  } else {
    out.code = style == ErrorStyle::kJson ? row.json : style == ErrorStyle::kQuery ? row.query : row.s3;
  }
  out.status = StatusOf(out.code, row, style);
  return out;
}

std::string XmlEscape(std::string_view text) {
  std::string valid = ReplaceInvalidUtf8(text);
  std::string out;
  out.reserve(valid.size() + 16);
  for (char c : valid) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\r':
        out += "&#13;";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n') {
          out += "\xEF\xBF\xBD";
        } else {
          out += c;
        }
    }
  }
  return out;
}

std::string ErrorBody(const WireError& error, ErrorStyle style, std::string_view request_id,
                      std::string_view resource) {
  switch (style) {
    case ErrorStyle::kJson:
      return fmt::format(R"({{"__type":"{}","message":"{}"}})", JsonEscape(error.code), JsonEscape(error.message));
    case ErrorStyle::kQuery:
      return fmt::format(
          "<ErrorResponse><Error><Type>{}</Type><Code>{}</Code><Message>{}</Message></Error>"
          "<RequestId>{}</RequestId></ErrorResponse>",
          error.status >= 500 ? "Receiver" : "Sender", XmlEscape(error.code), XmlEscape(error.message),
          XmlEscape(request_id));
    case ErrorStyle::kS3:
      return fmt::format(
          "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>"
          "<Resource>{}</Resource><RequestId>{}</RequestId></Error>",
          XmlEscape(error.code), XmlEscape(error.message), XmlEscape(resource), XmlEscape(request_id));
  }
  return {};
}

std::string_view ErrorContentType(ErrorStyle style) {
  switch (style) {
    case ErrorStyle::kJson:
      return "application/x-amz-json-1.1";
    case ErrorStyle::kQuery:
      return "text/xml";
    case ErrorStyle::kS3:
      return "application/xml";
  }
  return "application/octet-stream";
}

}  // namespace sagebrush::wire
