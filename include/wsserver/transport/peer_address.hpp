// A peer's name as every connection keeps it: in one word.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace wsserver {

/// The text of an address, as large as a pointer. IPv4 with its port lies in the word itself; other names lie on the
/// heap.
class PeerAddress {
   public:
    PeerAddress() noexcept = default;
    /// Any text, mostly one of peer_name() (endpoint.hpp); what follows a zero byte is lost.
    explicit PeerAddress(std::string_view text);
    PeerAddress(const PeerAddress&) = delete;
    PeerAddress& operator=(const PeerAddress&) = delete;
    ~PeerAddress();

    std::string text() const;

   private:
    bool is_ipv4() const noexcept { return (word_ & ipv4_mark) != 0; }
    const char* name() const noexcept { return reinterpret_cast<const char*>(static_cast<std::uintptr_t>(word_)); }

    static constexpr std::uint64_t ipv4_mark = 1;  ///< no pointer of operator new is odd
    /// 0: no text. The address, the port, two bytes that hold the mark; or a pointer.
    std::uint64_t word_ = 0;
};

static_assert(sizeof(PeerAddress) == 8);

}  // namespace wsserver
