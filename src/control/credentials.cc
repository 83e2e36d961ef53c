#include "control/credentials.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "base/hash.h"
#include "base/random.h"
#include "base/text.h"
#include "io/file.h"

namespace sagebrush::control {
namespace {

namespace json = boost::json;

constexpr size_t kKeyIdLength = 20;
constexpr size_t kSecretLength = 40;
constexpr size_t kJobHashLength = 10;  // of a job's key id: "ASIA", this much of a hash of the job, the rest a MAC
constexpr size_t kMasterBytes = 32;

// Five bits a character, without the ones that people confuse.
std::string Base32(std::string_view bytes, size_t length) {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (size_t i = 0; i < bytes.size() && out.size() < length; ++i) {
    bits = bits << 8 | static_cast<unsigned char>(bytes[i]);
    for (count += 8; count >= 5 && out.size() < length; count -= 5) out += kAlphabet[bits >> (count - 5) & 31];
  }
  return out;
}

std::string SecretFor(std::string_view master, std::string_view key_id) {
  return Base64Encode(HmacSha256(master, "secret:" + std::string(key_id))).substr(0, kSecretLength);
}

// The id is "ASIA" + hash + MAC(hash), so that a made-up id is told from one that this installation gave out.
std::string KeyIdFor(std::string_view master, std::string_view job_hash) {
  std::string mac = HmacSha256(master, "key-id:" + std::string(job_hash));
  return "ASIA" + std::string(job_hash) + Base32(mac, kKeyIdLength - 4 - kJobHashLength);
}

Result<void> CheckPrivate(const std::filesystem::path& file) {
  struct stat status = {};
  if (::stat(file.c_str(), &status) != 0) return Fail(FromErrno(errno, "Cannot read " + file.string()));
  if ((status.st_mode & 077) == 0) return {};
  return Fail(Error(ErrorKind::kPermissionDenied,
                    "Others may read " + file.string() + ", which holds secret keys. Run: chmod 600 " + file.string()));
}

Error Damaged(const std::filesystem::path& file) {
  return {ErrorKind::kDataLoss, file.string() +
                                    " does not hold the keys of this installation. Restore it from a backup, or remove "
                                    "it to have new keys made (scripts then need the new ones)."};
}

std::string StringMember(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

}  // namespace

Result<KeyRing> KeyRing::Open(const std::filesystem::path& file) {
  Result<std::string> text = io::ReadFile(file);
  if (!text && text.error().kind == ErrorKind::kNotFound) {
    KeyRing made({"AKIA" + Base32(RandomBytes(16), 16), Base64Encode(RandomBytes(30)), ""}, RandomBytes(kMasterBytes));
    json::object object = {
        {"access_key", made.owner_.access_key}, {"secret", made.owner_.secret}, {"master", HexEncode(made.master_)}};
    TRYV(io::WriteFileDurably(file, json::serialize(object) + "\n", 0600));
    return made;
  }
  if (!text) return Fail(std::move(text).error());
  TRYV(CheckPrivate(file));
  boost::system::error_code error;
  json::value parsed = json::parse(*text, error);
  if (error || !parsed.is_object()) return Fail(Damaged(file));
  const json::object& object = parsed.get_object();
  wire::Credentials owner{StringMember(object, "access_key"), StringMember(object, "secret"), ""};
  std::optional<std::string> master = HexDecode(StringMember(object, "master"));
  if (owner.access_key.size() != kKeyIdLength || owner.secret.size() != kSecretLength || !master ||
      master->size() != kMasterBytes) {
    return Fail(Damaged(file));
  }
  return KeyRing(std::move(owner), *std::move(master));
}

wire::Credentials KeyRing::ForJob(const JobName& job) const {
  std::string key_id = KeyIdFor(master_, Base32(Sha256("job:" + job.value()), kJobHashLength));
  return {key_id, SecretFor(master_, key_id), ""};
}

std::optional<wire::Credentials> KeyRing::Find(std::string_view access_key) const {
  if (access_key == owner_.access_key) return owner_;
  if (access_key.size() != kKeyIdLength || !access_key.starts_with("ASIA")) return std::nullopt;
  if (!ConstantTimeEquals(access_key, KeyIdFor(master_, access_key.substr(4, kJobHashLength)))) return std::nullopt;
  return wire::Credentials{std::string(access_key), SecretFor(master_, access_key), ""};
}

}  // namespace sagebrush::control
