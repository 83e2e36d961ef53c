#pragma once

#include <pugixml.hpp>
#include <string_view>

#include "base/result.h"

namespace sagebrush::api::s3 {

// The root element of a request body, which must be called `root`; the document keeps it. MalformedXML otherwise.
// Document types are not expanded.
Result<pugi::xml_node> ParseXml(pugi::xml_document& document, std::string_view body, std::string_view root);
// The child's text; "" when it is absent.
std::string_view ChildText(const pugi::xml_node& node, const char* name);
Error MalformedXml(std::string_view why);

}  // namespace sagebrush::api::s3
