#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <vector>

namespace sagebrush::wire {

// Writes one XML document, element by element. Not thread-safe.
class XmlWriter {
 public:
  // The declaration and the root element; the namespace may be "".
  XmlWriter(std::string_view root, std::string_view xmlns);

  XmlWriter& Open(std::string_view name);
  XmlWriter& Close();
  XmlWriter& Text(std::string_view name, std::string_view text);
  XmlWriter& Number(std::string_view name, std::integral auto value) { return Text(name, std::to_string(value)); }
  XmlWriter& Bool(std::string_view name, bool value) { return Text(name, value ? "true" : "false"); }
  // Text inside the innermost open element.
  XmlWriter& Content(std::string_view text);

  // Closes what is open. Once.
  std::string Finish();

 private:
  std::string out_;
  std::vector<std::string> open_;
};

}  // namespace sagebrush::wire
