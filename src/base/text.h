#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sagebrush {

std::vector<std::string_view> Split(std::string_view text, char separator);
std::string_view Trim(std::string_view text);  // spaces and tabs
std::string ToLower(std::string_view text);    // ASCII
bool EqualsIgnoreCase(std::string_view a, std::string_view b);
std::string ReplaceInvalidUtf8(std::string_view text);  // each bad byte becomes U+FFFD
// A whole decimal number without sign; nullopt for anything else or an overflow.
std::optional<int64_t> ParseInt(std::string_view text);

std::string HexEncode(std::string_view bytes);  // lower case
std::optional<std::string> HexDecode(std::string_view hex);
std::string Base64Encode(std::string_view bytes);
std::optional<std::string> Base64Decode(std::string_view text);
// RFC 3986 as SigV4 wants it: everything but A-Za-z0-9-._~ becomes %XX; '/' too unless keep_slash.
std::string UriEncode(std::string_view text, bool keep_slash = false);
// nullopt for a broken escape. `plus_is_space` for form bodies.
std::optional<std::string> UriDecode(std::string_view text, bool plus_is_space = false);

}  // namespace sagebrush
