#define PCRE2_CODE_UNIT_WIDTH 8
#include "wire/pattern.h"

#include <pcre2.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/check.h"

namespace sagebrush::wire {
namespace {

constexpr uint32_t kMatchLimit = 1'000'000;  // backtracking steps: tens of milliseconds at most
constexpr uint32_t kHeapLimitKib = 16 * 1024;

void ReplaceAll(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

// The model's patterns are Java's. What PCRE2 spells otherwise: \p{Alnum} and its kin, which the models use only
// inside brackets, and \uXXXX.
std::string ToPcre2(std::string_view pattern) {
  std::string out(pattern);
  ReplaceAll(out, "\\p{Alnum}", "A-Za-z0-9");
  ReplaceAll(out, "\\p{Alpha}", "A-Za-z");
  ReplaceAll(out, "\\p{Digit}", "0-9");
  ReplaceAll(out, "\\p{ASCII}", "\\x00-\\x7F");
  for (size_t at = 0; (at = out.find("\\u", at)) != std::string::npos; ++at) {
    if (at + 6 <= out.size()) out.replace(at, 6, "\\x{" + out.substr(at + 2, 4) + "}");
  }
  return out;
}

class CompiledPattern {
 public:
  explicit CompiledPattern(std::string_view pattern) {
    std::string text = ToPcre2(pattern);
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_ =
        pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                      PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY, &error, &offset, nullptr);
    CHECK(code_ != nullptr);
  }

  bool Matches(std::string_view text) const {
    struct Scratch {
      pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
      pcre2_match_context* context = pcre2_match_context_create(nullptr);
      Scratch() {
        CHECK(data != nullptr && context != nullptr);
        pcre2_set_match_limit(context, kMatchLimit);
        pcre2_set_heap_limit(context, kHeapLimitKib);
      }
      ~Scratch() {
        pcre2_match_data_free(data);
        pcre2_match_context_free(context);
      }
    };
    thread_local Scratch scratch;
    // 0 means that there are more groups than room for them, which is a match too.
    return pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, scratch.data,
                       scratch.context) >= 0;
  }

 private:
  pcre2_code* code_;  // never freed: patterns live as long as the process
};

const CompiledPattern& Compiled(std::string_view pattern) {
  static std::mutex mutex;
  static auto& cache = *new std::map<std::string, std::unique_ptr<CompiledPattern>, std::less<>>;
  std::lock_guard lock(mutex);
  auto found = cache.find(pattern);
  if (found == cache.end()) {
    found = cache.emplace(std::string(pattern), std::make_unique<CompiledPattern>(pattern)).first;
  }
  return *found->second;
}

}  // namespace

bool MatchesPattern(std::string_view pattern, std::string_view text) { return Compiled(pattern).Matches(text); }

}  // namespace sagebrush::wire
