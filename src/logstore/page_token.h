#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sagebrush::logstore {

// Opaque page tokens: a kind (so that a token of one operation or order is refused by another) and fields. Only the
// last field may hold a newline.
std::string EncodeToken(std::string_view kind, std::initializer_list<std::string> fields);
// InvalidParameterException for anything that EncodeToken of this kind and number of fields did not make.
Result<std::vector<std::string>> DecodeToken(std::string_view kind, size_t fields, std::string_view token);
Error InvalidToken();

}  // namespace sagebrush::logstore
