#include "wsd-ctl/bench/histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace wsd::ctl::bench {

/// The highest 8 bits choose the bucket: their position (`shift`) the power of two, their value the place within it.
constexpr std::size_t Histogram::bucket_of(std::uint64_t value) noexcept {
    const auto bits = static_cast<int>(std::bit_width(value));
    const int shift = std::max(bits - static_cast<int>(fine_bits) - 1, 0);
    return (static_cast<std::size_t>(shift) << fine_bits) + static_cast<std::size_t>(value >> shift);
}

constexpr std::uint64_t Histogram::middle_of(std::size_t bucket) noexcept {
    if (bucket < std::size_t{2} << fine_bits) return bucket;
    const std::size_t shift = (bucket >> fine_bits) - 1;
    const std::uint64_t first = std::uint64_t{bucket - (shift << fine_bits)} << shift;
    return first + (std::uint64_t{1} << (shift - 1));
}

void Histogram::record(Time time, std::uint64_t times) noexcept {
    if (times == 0) return;
    const auto value = std::min(static_cast<std::uint64_t>(std::max<Time::rep>(time.count(), 0)), longest);
    buckets_[bucket_of(value)] += times;
    count_ += times;
    sum_ += static_cast<double>(value) * static_cast<double>(times);
    max_ = std::max(max_, value);
}

Histogram::Time Histogram::quantile(double part) const noexcept {
    if (count_ == 0) return Time{0};
    const double wanted = std::ceil(part * static_cast<double>(count_));
    const auto rank = std::clamp(static_cast<std::uint64_t>(std::max(wanted, 1.0)), std::uint64_t{1}, count_);
    std::uint64_t so_far = 0;
    for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
        so_far += buckets_[bucket];
        if (so_far >= rank) return Time{static_cast<Time::rep>(std::min(middle_of(bucket), max_))};
    }
    return max();
}

}  // namespace wsd::ctl::bench
