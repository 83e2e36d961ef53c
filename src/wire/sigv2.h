#pragma once

#include "wire/sigv4.h"

namespace sagebrush::wire {

// S3's old presigned query, which boto3's generate_presigned_url still makes: AWSAccessKeyId, Signature, Expires.
Result<VerifiedCaller> VerifyOldPresignedQuery(const SignableRequest& request, const SecretLookup& lookup,
                                               int64_t now_ms);

// The text that it signs (S3 Developer Guide, "Signing and authenticating REST requests").
std::string OldStringToSign(const SignableRequest& request, std::string_view expires);

}  // namespace sagebrush::wire
