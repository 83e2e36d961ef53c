#include "api/s3/s3_xml.h"

#include <string>

namespace sagebrush::api::s3 {

Error MalformedXml(std::string_view why) {
  return InvalidArgument("The XML you provided was not well-formed or did not validate against our published schema: " +
                             std::string(why) + ".",
                         "MalformedXML");
}

Result<pugi::xml_node> ParseXml(pugi::xml_document& document, std::string_view body, std::string_view root) {
  // White space can be all of a key.
  pugi::xml_parse_result parsed = document.load_buffer(
      body.data(), body.size(), pugi::parse_default | pugi::parse_ws_pcdata_single | pugi::parse_doctype);
  if (!parsed) return Fail(MalformedXml(parsed.description()));
  for (const pugi::xml_node& child : document.children()) {
    if (child.type() == pugi::node_doctype) return Fail(MalformedXml("a document type declaration is not allowed"));
  }
  pugi::xml_node node = document.document_element();
  if (root != node.name()) {
    return Fail(MalformedXml("the root element is '" + std::string(node.name()).substr(0, 100) + "', expected '" +
                             std::string(root) + "'"));
  }
  return node;
}

std::string_view ChildText(const pugi::xml_node& node, const char* name) { return node.child(name).text().get(); }

}  // namespace sagebrush::api::s3
