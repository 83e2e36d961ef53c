#include "wire/xml_writer.h"

#include <utility>

#include "base/check.h"
#include "wire/errors.h"

namespace sagebrush::wire {

XmlWriter::XmlWriter(std::string_view root, std::string_view xmlns) {
  out_ = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<" + std::string(root);
  if (!xmlns.empty()) out_ += " xmlns=\"" + XmlEscape(xmlns) + '"';
  out_ += '>';
  open_.emplace_back(root);
}

XmlWriter& XmlWriter::Open(std::string_view name) {
  out_.append("<").append(name).append(">");
  open_.emplace_back(name);
  return *this;
}

XmlWriter& XmlWriter::Close() {
  CHECK(!open_.empty());
  out_.append("</").append(open_.back()).append(">");
  open_.pop_back();
  return *this;
}

XmlWriter& XmlWriter::Text(std::string_view name, std::string_view text) { return Open(name).Content(text).Close(); }

XmlWriter& XmlWriter::Content(std::string_view text) {
  out_ += XmlEscape(text);
  return *this;
}

std::string XmlWriter::Finish() {
  while (!open_.empty()) Close();
  return std::move(out_);
}

}  // namespace sagebrush::wire
