#include "serving/codec/json_body.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/text.h"
#include "serving/codec/json_tape.h"
#include "serving/codec/tensor_reader.h"

namespace sagebrush::serving {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// Reads what is right, and stops without a reason at what is not.
class PredictReader {
 public:
  PredictReader(std::string_view body, const SignatureMap& signatures)
      : body_(body), signatures_(signatures), scanner_(body) {
    if (body.starts_with(kByteOrderMark)) scanner_.MoveTo(kByteOrderMark.size());
  }

  std::optional<DecodedPredict> Read(BodyForm form) {
    bool read = false;
    if (form == BodyForm::kServing) {
      read = Document();
    } else {
      auto signature = FindSignature(signatures_, "");
      read = signature && Begin(**signature) && (form == BodyForm::kInstances ? Instances() : Rows(form));
    }
    if (!read) return std::nullopt;
    decoded_.signature_name = signature_->first;
    return std::move(decoded_);
  }

 private:
  // The object of the kServing form. Its signature may be named behind its data, which are then read a second time.
  bool Document() {
    scanner_.SkipSpace();
    if (!scanner_.Take('{')) return false;
    do {
      std::string key;
      if (!Name(key)) return false;
      if (key == "signature_name" && !name_) {
        if (scanner_.Peek() != '"' || !scanner_.ScanString(&name_.emplace())) return false;
      } else if (key == "instances" || key == "inputs") {
        if (!DataMember(key)) return false;
      } else if (!Skip()) {
        return false;
      }
      scanner_.SkipSpace();
    } while (scanner_.Take(','));
    if (!scanner_.Take('}') || data_key_.empty()) return false;
    auto signature = FindSignature(signatures_, name_.value_or(""));
    if (!signature) return false;
    if (signature_ && &**signature == signature_) return true;
    scanner_.MoveTo(data_at_);
    return Begin(**signature) && Data();
  }

  // Of several members of one name, the first counts.
  bool DataMember(const std::string& key) {
    if (!data_key_.empty()) return key == data_key_ && Skip();
    data_key_ = key;
    data_at_ = scanner_.offset();
    auto signature = FindSignature(signatures_, name_.value_or(""));
    if (signature && Begin(**signature) && Data()) return true;
    if (name_) return false;
    signature_ = nullptr;
    scanner_.MoveTo(data_at_);
    return Skip();
  }

  bool Begin(const SignatureMap::value_type& signature) {
    signature_ = &signature;
    readers_.clear();
    size_t inputs = signature.second.inputs.size();
    for (const auto& [name, info] : signature.second.inputs) {
      readers_.emplace_back(info.type, (body_.size() - scanner_.offset()) / inputs);
    }
    seen_.assign(inputs, -1);
    return inputs > 0;
  }

  bool Data() { return data_key_ == "instances" ? Instances() : Columns(); }

  bool Name(std::string& name) {
    scanner_.SkipSpace();
    name.clear();
    if (scanner_.Peek() != '"' || !scanner_.ScanString(&name)) return false;
    scanner_.SkipSpace();
    if (!scanner_.Take(':')) return false;
    scanner_.SkipSpace();
    return true;
  }

  bool Skip() {
    Result<JsonTape> tape = JsonTape::Parse(body_, scanner_.offset());
    if (tape) scanner_.MoveTo(tape->end_offset());
    return tape.has_value();
  }

  // An object that is no string in base64.
  bool IsObject() {
    if (scanner_.Peek() != '{') return false;
    size_t at = scanner_.offset();
    std::vector<std::string> ignored;
    bool base64 = ReadBase64Object(scanner_, ignored);
    scanner_.MoveTo(at);
    return !base64;
  }

  bool Instances() {
    scanner_.SkipSpace();
    if (!scanner_.Take('[')) return false;
    int64_t rows = 0;
    scanner_.SkipSpace();
    bool objects = IsObject();
    do {
      if (!Instance(objects, rows)) return false;
      ++rows;
      scanner_.SkipSpace();
    } while (scanner_.Take(','));
    return scanner_.Take(']') && Finish(rows);
  }

  bool Rows(BodyForm form) {
    scanner_.SkipSpace();
    bool objects = IsObject();
    int64_t rows = 0;
    do {
      if (!Instance(objects, rows)) return false;
      ++rows;
      scanner_.SkipSpace();
    } while (form == BodyForm::kLines && !scanner_.AtEnd());
    return Finish(rows);
  }

  bool Instance(bool object, int64_t row) {
    scanner_.SkipSpace();
    if (!object) return readers_.size() == 1 && readers_[0].Read(scanner_);
    if (!scanner_.Take('{')) return false;
    size_t members = 0;
    do {
      if (!Name(name_of_member_)) return false;
      auto input = signature_->second.inputs.find(name_of_member_);
      if (input == signature_->second.inputs.end()) return false;
      auto index = static_cast<size_t>(std::distance(signature_->second.inputs.begin(), input));
      if (seen_[index] == row || !readers_[index].Read(scanner_)) return false;
      seen_[index] = row;
      ++members;
      scanner_.SkipSpace();
    } while (scanner_.Take(','));
    return members == readers_.size() && scanner_.Take('}');
  }

  bool Columns() {
    decoded_.form = OutputForm::kColumn;
    if (!IsObject()) return readers_.size() == 1 && readers_[0].Read(scanner_) && Finish(std::nullopt);
    scanner_.Take('{');
    size_t members = 0;
    do {
      if (!Name(name_of_member_)) return false;
      auto input = signature_->second.inputs.find(name_of_member_);
      auto index = static_cast<size_t>(std::distance(signature_->second.inputs.begin(), input));
      if (index < readers_.size() && seen_[index] < 0) {
        if (!readers_[index].Read(scanner_)) return false;
        seen_[index] = 0;
        ++members;
      } else if (!Skip()) {
        return false;
      }
      scanner_.SkipSpace();
    } while (scanner_.Take(','));
    return members == readers_.size() && scanner_.Take('}') && Finish(std::nullopt);
  }

  bool Finish(std::optional<int64_t> rows) {
    decoded_.form = rows ? OutputForm::kRow : OutputForm::kColumn;
    decoded_.inputs.clear();
    for (TensorReader& reader : readers_) decoded_.inputs.push_back(std::move(reader).Take(rows));
    return true;
  }

  std::string_view body_;
  const SignatureMap& signatures_;
  JsonScanner scanner_;
  std::optional<std::string> name_;  // of the signature, when the body names one
  std::string data_key_, name_of_member_;
  size_t data_at_ = 0;
  const SignatureMap::value_type* signature_ = nullptr;
  std::vector<TensorReader> readers_;  // in the order of the inputs
  std::vector<int64_t> seen_;          // the row in which the input was read last
  DecodedPredict decoded_;
};

}  // namespace

std::optional<std::string> DecodeBase64Value(std::string_view text) {
  std::string packed(text);
  std::erase_if(packed, [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; });
  if (!packed.ends_with('=')) packed.append((4 - packed.size() % 4) % 4, '=');
  return Base64Decode(packed);
}

Result<SignatureMap::const_iterator> FindSignature(const SignatureMap& signatures, std::string_view name) {
  if (name.empty()) name = kDefaultSignature;
  auto found = signatures.find(name);
  if (found == signatures.end()) {
    return Fail(InvalidArgument(fmt::format("Serving signature name: \"{}\" not found in signature def", name)));
  }
  return found;
}

Result<DecodedPredict> ParsePredict(std::string_view body, BodyForm form, const SignatureMap& signatures) {
  if (std::optional<DecodedPredict> decoded = PredictReader(body, signatures).Read(form)) return *std::move(decoded);
  TRYV(CheckPredict(body, form, signatures));
  BUG_IF(true);
  return Fail(Internal("The request body could not be read, for a reason that was not found."));
}

}  // namespace sagebrush::serving
