// Sums up refused opening handshakes, so that a client that is refused all the time does not fill the log.
#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace wsd {

/// The address of `HOST:PORT`; of an IPv6 address its network of 64 bits (`2001:db8:1:2::/64`), since a client has all
/// addresses of it. Anything else, such as `unix:PATH`, is returned unchanged.
std::string address_of_peer(std::string_view peer);

/// Refusals are equal if they have the same address and the same error. The first is written, the others of the next
/// `period` are counted. Knows at most `max_entries` at a time; further ones are counted together. For one thread.
class RefusalSums {
   public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds period{10};
    static constexpr std::size_t max_entries = 256;

    /// Refusals that were not written.
    struct Sum {
        std::string address;            ///< empty: of several addresses
        std::error_code error;          ///< none: for several reasons
        std::uint64_t count = 0;        ///< at least 1
        std::chrono::seconds within{};  ///< the longest time in which they came
    };

    /// Returns whether the refusal must be written. Otherwise it is counted.
    bool add(std::string_view peer, std::error_code error, Time now);
    /// Removes and returns the sums whose period is over.
    std::vector<Sum> take_due(Time now);
    /// Removes and returns all sums.
    std::vector<Sum> take_all();
    /// When take_due() has the next sum, or forgets that a refusal was written.
    std::optional<Time> next_due() const;

   private:
    struct Key {
        std::string address;
        int error;

        auto operator<=>(const Key&) const = default;  // NOLINT(modernize-use-nullptr)
    };
    struct Entry {
        Time begin{};
        std::error_code error{};
        std::uint64_t count = 0;
    };

    void take_oldest(std::vector<Sum>& sums);

    std::map<Key, Entry> entries_;
    std::deque<Key> by_age_;  ///< the keys of entries_, the oldest first
    Entry others_{};          ///< what entries_ had no space for
};

}  // namespace wsd
