#include "wire/errors.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <pugixml.hpp>

namespace sagebrush::wire {
namespace {

constexpr ErrorStyle kStyles[] = {ErrorStyle::kJson, ErrorStyle::kQuery, ErrorStyle::kS3};

TEST(Errors, EveryKindHasACodeAndAStatusInEveryFamily) {
  for (int kind = 0; kind <= static_cast<int>(ErrorKind::kInternal); ++kind) {
    for (ErrorStyle style : kStyles) {
      WireError error = ToWireError(Error(static_cast<ErrorKind>(kind), "m"), style);
      EXPECT_FALSE(error.code.empty()) << kind;
      EXPECT_GE(error.status, 400) << kind;
    }
  }
}

TEST(Errors, UserMistakesAreNeverRetriedByClients) {
  // Clients send the same request again after these statuses.
  for (ErrorKind kind : {ErrorKind::kInvalidArgument, ErrorKind::kUnauthenticated, ErrorKind::kPermissionDenied,
                         ErrorKind::kNotFound, ErrorKind::kAlreadyExists, ErrorKind::kFailedPrecondition,
                         ErrorKind::kResourceExhausted, ErrorKind::kUnsupported, ErrorKind::kCancelled}) {
    for (ErrorStyle style : kStyles) {
      int status = ToWireError(Error(kind, "m"), style).status;
      EXPECT_TRUE(status < 500 || status == 501) << static_cast<int>(kind);
    }
  }
}

TEST(Errors, S3StatusesFollowTheCode) {
  struct Row {
    const char* code;
    int status;
  };
  for (Row row : {Row{"NoSuchKey", 404},
                  {"NoSuchBucket", 404},
                  {"BucketNotEmpty", 409},
                  {"PreconditionFailed", 412},
                  {"InvalidRange", 416},
                  {"NotModified", 304},
                  {"AccessDenied", 403},
                  {"SignatureDoesNotMatch", 403},
                  {"InvalidAccessKeyId", 403},
                  {"RequestTimeTooSkewed", 403},
                  {"EntityTooLarge", 400},
                  {"MissingContentLength", 411},
                  {"SlowDown", 503},
                  {"InternalError", 500},
                  {"MethodNotAllowed", 405},
                  {"NotImplemented", 501}}) {
    EXPECT_EQ(ToWireError(InvalidArgument("m", row.code), ErrorStyle::kS3).status, row.status) << row.code;
  }
}

TEST(Errors, CodesAreSpelledAsEachFamilySpellsThem) {
  Error bad_signature(ErrorKind::kPermissionDenied, "m", "InvalidSignatureException");
  EXPECT_EQ(ToWireError(bad_signature, ErrorStyle::kJson).code, "InvalidSignatureException");
  EXPECT_EQ(ToWireError(bad_signature, ErrorStyle::kQuery).code, "SignatureDoesNotMatch");
  EXPECT_EQ(ToWireError(bad_signature, ErrorStyle::kQuery).status, 403);
  EXPECT_EQ(ToWireError(NotFound("Requested resource not found.", "ValidationException"), ErrorStyle::kJson).status,
            400);
  EXPECT_EQ(ToWireError(Error(ErrorKind::kAlreadyExists, "m"), ErrorStyle::kJson).code, "ResourceInUse");
  EXPECT_EQ(ToWireError(Error(ErrorKind::kResourceExhausted, "m"), ErrorStyle::kJson).code, "ResourceLimitExceeded");
  EXPECT_EQ(ToWireError(Internal("m"), ErrorStyle::kJson).status, 500);
}

TEST(Errors, Bodies) {
  WireError error{400, "ValidationException", "say \"x\" <y> & z"};
  EXPECT_EQ(ErrorBody(error, ErrorStyle::kJson, "r"),
            R"({"__type":"ValidationException","message":"say \"x\" <y> & z"})");
  EXPECT_EQ(ErrorBody(error, ErrorStyle::kQuery, "r"),
            "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationException</Code><Message>say &quot;x&quot; "
            "&lt;y&gt; &amp; z</Message></Error><RequestId>r</RequestId></ErrorResponse>");
  pugi::xml_document s3;
  ASSERT_TRUE(s3.load_string(ErrorBody(error, ErrorStyle::kS3, "r", "/b/k&").c_str()));
  EXPECT_STREQ(s3.child("Error").child_value("Message"), "say \"x\" <y> & z");
  EXPECT_STREQ(s3.child("Error").child_value("Resource"), "/b/k&");
}

TEST(XmlEscapeProperty, AnyTextStaysWellFormed) {
  EXPECT_TRUE(rc::check("escape then parse", [] {
    std::string text = *rc::gen::arbitrary<std::string>();
    pugi::xml_document document;
    RC_ASSERT(
        document.load_string(("<a>" + XmlEscape(text) + "</a>").c_str(), pugi::parse_default | pugi::parse_ws_pcdata));
    auto plain = *rc::gen::container<std::string>(rc::gen::inRange<char>(0x20, 0x7F));
    RC_ASSERT(
        document.load_string(("<a>" + XmlEscape(plain) + "</a>").c_str(), pugi::parse_default | pugi::parse_ws_pcdata));
    RC_ASSERT(document.child_value("a") == plain);
  }));
}

}  // namespace
}  // namespace sagebrush::wire
