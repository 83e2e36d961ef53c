#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sagebrush::tfs3 {

// Just enough XML for S3's answers, whose elements have no attributes that matter and never nest in themselves. It is
// here, and not pugixml, because the plug-in is loaded into other people's processes and brings no library with it.

// The raw content of the first element of that name; "" when there is none.
std::string_view Element(std::string_view xml, std::string_view name);
// The raw content of every element of that name, in order.
std::vector<std::string_view> Elements(std::string_view xml, std::string_view name);
// Text of an element: entities and character references decoded.
std::string XmlText(std::string_view raw);
// Text for an element.
std::string XmlEscape(std::string_view text);

}  // namespace sagebrush::tfs3
