#include "tfs3/xml.h"

#include <charconv>

namespace sagebrush::tfs3 {
namespace {

// Finds the next <name …>content</name> at or after `from`. False when there is none; else moves `from` behind it.
bool Next(std::string_view xml, std::string_view name, size_t& from, std::string_view& content) {
  for (size_t open = xml.find('<', from); open != std::string_view::npos; open = xml.find('<', open + 1)) {
    std::string_view tag = xml.substr(open + 1);
    if (!tag.starts_with(name) || tag.size() == name.size()) continue;
    if (char after = tag[name.size()]; after != '>' && after != ' ' && after != '/') continue;
    size_t end = xml.find('>', open);
    if (end == std::string_view::npos) return false;
    if (xml[end - 1] == '/') {  // <name/>
      content = {};
      from = end + 1;
      return true;
    }
    size_t close = xml.find("</" + std::string(name) + ">", end);
    if (close == std::string_view::npos) return false;
    content = xml.substr(end + 1, close - end - 1);
    from = close + name.size() + 3;
    return true;
  }
  return false;
}

void AppendUtf8(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// `name` is what stands between & and ;. False when it is no entity.
bool AppendEntity(std::string_view name, std::string& out) {
  constexpr std::pair<std::string_view, char> kNamed[] = {
      {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
  for (const auto& [entity, character] : kNamed) {
    if (name != entity) continue;
    out += character;
    return true;
  }
  if (!name.starts_with('#')) return false;
  name.remove_prefix(1);
  int base = 10;
  if (name.starts_with('x') || name.starts_with('X')) {
    name.remove_prefix(1);
    base = 16;
  }
  uint32_t code = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), code, base);
  if (error != std::errc() || end != name.data() + name.size() || code > 0x10FFFF) return false;
  AppendUtf8(code, out);
  return true;
}

}  // namespace

std::string_view Element(std::string_view xml, std::string_view name) {
  size_t from = 0;
  std::string_view content;
  return Next(xml, name, from, content) ? content : std::string_view();
}

std::vector<std::string_view> Elements(std::string_view xml, std::string_view name) {
  std::vector<std::string_view> all;
  size_t from = 0;
  for (std::string_view content; Next(xml, name, from, content);) all.push_back(content);
  return all;
}

std::string XmlText(std::string_view raw) {
  std::string text;
  for (size_t i = 0; i < raw.size(); ++i) {
    size_t end = raw[i] == '&' ? raw.find(';', i) : std::string_view::npos;
    if (end != std::string_view::npos && AppendEntity(raw.substr(i + 1, end - i - 1), text)) {
      i = end;
    } else {
      text += raw[i];
    }
  }
  return text;
}

std::string XmlEscape(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += "&#" + std::to_string(static_cast<int>(c)) + ";";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace sagebrush::tfs3
