#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "wire/sigv4.h"

namespace sagebrush::control {

// The keys of this installation, made at first start and kept in credentials.json, mode 0600: one long-term key pair
// for the owner and a master secret, from which each job's own key pair is derived (so nothing per job is stored).
class KeyRing {
 public:
  // Reads the file, or makes it. Refuses a file that others may read (kPermissionDenied, says chmod 600).
  static Result<KeyRing> Open(const std::filesystem::path& file);

  const wire::Credentials& owner() const { return owner_; }
  // "ASIA" + a hash of the job's name; the same at every call.
  wire::Credentials ForJob(const JobName& job) const;
  // Secrets of the owner's key and of any well-formed job key; nullopt for others.
  std::optional<wire::Credentials> Find(std::string_view access_key) const;

 private:
  KeyRing(wire::Credentials owner, std::string master) : owner_(std::move(owner)), master_(std::move(master)) {}
  wire::Credentials owner_;
  std::string master_;
};

}  // namespace sagebrush::control
