#include "metricstore/distribution.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace sagebrush::metricstore {
namespace {

// A double without its last 45 bits has 7 bits of its fraction left; as whole numbers they order as the values do.
constexpr int kDroppedBits = 45;

int32_t KeyOf(double value) {
  uint64_t bits = std::bit_cast<uint64_t>(std::fabs(value)) + (uint64_t{1} << (kDroppedBits - 1));
  auto key = static_cast<int32_t>(bits >> kDroppedBits);
  return value < 0 ? -key : key;
}

double ValueOf(int32_t key) {
  double magnitude = std::bit_cast<double>(static_cast<uint64_t>(std::abs(key)) << kDroppedBits);
  return key < 0 ? -magnitude : magnitude;
}

void PutVarint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

// Takes numbers off the front of stored bytes.
class BytesReader {
 public:
  explicit BytesReader(std::string_view bytes) : bytes_(bytes) {}
  bool done() const { return bytes_.empty(); }

  std::optional<uint64_t> Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      auto byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }

  std::optional<double> Real() {
    double value = 0;
    if (bytes_.size() < sizeof value) return std::nullopt;
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_.remove_prefix(sizeof value);
    return value;
  }

 private:
  std::string_view bytes_;
};

constexpr double kMostWhole = 1LL << 53;
constexpr uint64_t kRealFollows = 1;  // a whole count n is written as 2 n

Error Damaged() { return Error(ErrorKind::kDataLoss, "A stored distribution of a metric's values is damaged."); }

}  // namespace

void Distribution::Add(double value, double count) {
  count_ += count;
  sum_ += value * count;
  minimum_ = std::min(minimum_, value);
  maximum_ = std::max(maximum_, value);
  if (!ranked_) return;
  int32_t key = KeyOf(value);
  auto at = std::ranges::lower_bound(buckets_, key, {}, &Bucket::key);
  if (at != buckets_.end() && at->key == key) {
    at->count += count;
    return;
  }
  buckets_.insert(at, {key, count});
  if (buckets_.size() > kMostBuckets) Coarsen();
}

void Distribution::AddSummary(double count, double sum, double minimum, double maximum) {
  if (minimum == maximum) {
    double before = sum_;
    Add(minimum, count);
    sum_ = before + sum;  // as the caller rounded it
    return;
  }
  count_ += count;
  sum_ += sum;
  minimum_ = std::min(minimum_, minimum);
  maximum_ = std::max(maximum_, maximum);
  ranked_ = false;
  buckets_.clear();
}

void Distribution::Merge(const Distribution& other) {
  if (other.empty()) return;
  count_ += other.count_;
  sum_ += other.sum_;
  minimum_ = std::min(minimum_, other.minimum_);
  maximum_ = std::max(maximum_, other.maximum_);
  ranked_ = ranked_ && other.ranked_;
  if (!ranked_) {
    buckets_.clear();
    return;
  }
  std::vector<Bucket> merged;
  merged.reserve(buckets_.size() + other.buckets_.size());
  std::ranges::merge(buckets_, other.buckets_, std::back_inserter(merged), {}, &Bucket::key, &Bucket::key);
  buckets_.clear();
  for (const Bucket& bucket : merged) {
    if (!buckets_.empty() && buckets_.back().key == bucket.key) {
      buckets_.back().count += bucket.count;
    } else {
      buckets_.push_back(bucket);
    }
  }
  if (buckets_.size() > kMostBuckets) Coarsen();
}

// Halves the resolution until half of the room is free, so that it is seldom needed again.
void Distribution::Coarsen() {
  for (int32_t width = 2; buckets_.size() > kMostBuckets / 2; width *= 2) {
    std::vector<Bucket> coarse;
    for (const Bucket& bucket : buckets_) {
      int32_t magnitude = (std::abs(bucket.key) + width / 2) / width * width;
      int32_t key = bucket.key < 0 ? -magnitude : magnitude;
      if (!coarse.empty() && coarse.back().key == key) {
        coarse.back().count += bucket.count;
      } else {
        coarse.push_back({key, bucket.count});
      }
    }
    buckets_ = std::move(coarse);
  }
}

std::optional<double> Distribution::Percentile(double percent) const {
  if (empty() || !ranked_) return std::nullopt;
  double wanted = count_ * percent / 100, seen = 0;
  if (percent <= 0) return minimum_;
  for (const Bucket& bucket : buckets_) {
    seen += bucket.count;
    if (seen >= wanted * (1 - 1e-12)) return std::clamp(ValueOf(bucket.key), minimum_, maximum_);
  }
  return maximum_;
}

std::string Distribution::EncodeBuckets() const {
  std::string out;
  if (!ranked_) return out;
  out.reserve(buckets_.size() * 3);
  int64_t last = 0;
  for (const Bucket& bucket : buckets_) {
    int64_t step = bucket.key - last;
    last = bucket.key;
    PutVarint(out, (static_cast<uint64_t>(step) << 1) ^ static_cast<uint64_t>(step >> 63));
    if (bucket.count < kMostWhole && std::trunc(bucket.count) == bucket.count) {
      PutVarint(out, static_cast<uint64_t>(bucket.count) << 1);
    } else {
      PutVarint(out, kRealFollows);
      char bytes[sizeof bucket.count];
      std::memcpy(bytes, &bucket.count, sizeof bytes);
      out.append(bytes, sizeof bytes);
    }
  }
  return out;
}

Result<Distribution> Distribution::FromStored(double count, double sum, double minimum, double maximum,
                                              std::string_view buckets) {
  Distribution out;
  out.count_ = count;
  out.sum_ = sum;
  out.minimum_ = minimum;
  out.maximum_ = maximum;
  out.ranked_ = !buckets.empty();
  BytesReader reader(buckets);
  for (int64_t key = 0; !reader.done();) {
    std::optional<uint64_t> step = reader.Varint(), whole = reader.Varint();
    if (!step || !whole) return Fail(Damaged());
    key += static_cast<int64_t>(*step >> 1) ^ -static_cast<int64_t>(*step & 1);
    std::optional<double> bucket_count = *whole == kRealFollows ? reader.Real() : static_cast<double>(*whole >> 1);
    bool ordered = out.buckets_.empty() || key > out.buckets_.back().key;
    if (!bucket_count || !ordered || std::abs(key) > KeyOf(std::numeric_limits<double>::max())) return Fail(Damaged());
    out.buckets_.push_back({static_cast<int32_t>(key), *bucket_count});
  }
  return out;
}

}  // namespace sagebrush::metricstore
