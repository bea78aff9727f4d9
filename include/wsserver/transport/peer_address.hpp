// The address of a peer in eight bytes, because every connection keeps one.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace wsserver {

/// The text of an address, as large as a pointer. An IPv4 address and its port are stored in the word itself; any other
/// text is on the heap.
class PeerAddress {
   public:
    PeerAddress() noexcept = default;
    /// Stores any text, usually that of peer_name() (endpoint.hpp). The rest after a zero byte is lost.
    explicit PeerAddress(std::string_view text);
    PeerAddress(const PeerAddress&) = delete;
    PeerAddress& operator=(const PeerAddress&) = delete;
    ~PeerAddress();
    /// Swaps the texts.
    void swap(PeerAddress& other) noexcept { std::swap(word_, other.word_); }

    /// The text given to the constructor; empty by default.
    std::string text() const;

   private:
    bool is_ipv4() const noexcept { return (word_ & ipv4_mark) != 0; }
    const char* name() const noexcept { return reinterpret_cast<const char*>(static_cast<std::uintptr_t>(word_)); }

    static constexpr std::uint64_t ipv4_mark = 1;  ///< a pointer from operator new is never odd
    /// 0: no text. From the highest byte: four bytes of address, two of port, two with the mark. Otherwise a pointer.
    std::uint64_t word_ = 0;
};

static_assert(sizeof(PeerAddress) == 8);

}  // namespace wsserver
