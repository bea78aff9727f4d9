// Counts times in buckets: ten values need as much memory as ten billion.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace wsd::ctl::bench {

/// Times from 0 ns to 73 minutes; longer ones count as that long. Below 256 ns each nanosecond has its bucket; above,
/// each power of two is cut into 128, so that a quantile is at most 0.4 % off.
class Histogram {
   public:
    using Time = std::chrono::nanoseconds;

    /// Adds `time`, as often as `times` says. A negative time counts as 0.
    void record(Time time, std::uint64_t times = 1) noexcept;

    std::uint64_t count() const noexcept { return count_; }
    /// The longest time, exactly; 0 if there are none.
    Time max() const noexcept { return Time{static_cast<Time::rep>(max_)}; }
    Time mean() const noexcept {
        return count_ == 0 ? Time{0} : Time{static_cast<Time::rep>(sum_ / static_cast<double>(count_))};
    }
    /// The shortest time that at least `part` (0 to 1) of all times do not exceed; 0 if there are none.
    Time quantile(double part) const noexcept;

   private:
    static constexpr unsigned fine_bits = 7;
    static constexpr unsigned most_bits = 42;
    static constexpr std::uint64_t longest = (std::uint64_t{1} << most_bits) - 1;

    static constexpr std::size_t bucket_of(std::uint64_t value) noexcept;
    static constexpr std::uint64_t middle_of(std::size_t bucket) noexcept;

    std::array<std::uint64_t, (most_bits - fine_bits + 1) << fine_bits> buckets_{};
    std::uint64_t count_ = 0;
    double sum_ = 0;  ///< ns; the sum of a billion times does not fit into 64 bits
    std::uint64_t max_ = 0;
};

}  // namespace wsd::ctl::bench
