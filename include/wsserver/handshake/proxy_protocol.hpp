// The header in which a load balancer names its client, before the first byte of HTTP or TLS.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "wsserver/base/bytes.hpp"

namespace wsserver {

/// Reads the header of the PROXY protocol: version 1, which is a line of text, or version 2, which is binary. Reads
/// each byte once, and allocates only for the address. Any client can write such a header: read it only from peers that
/// are trusted, and from these always. One thread at a time may use it. The protocol is that of HAProxy's
/// doc/proxy-protocol.txt.
class ProxyProtocolReader {
   public:
    /// The header is not complete.
    struct NeedMore {};
    /// The header is complete.
    struct Done {
        /// The client's address, as the transport writes peers: `192.0.2.1:5000`, `[2001:db8::1]:5000` or `unix:PATH`.
        /// Nothing if the load balancer speaks for itself, as in its health checks, or does not know the address: then
        /// the server keeps the address of the peer.
        std::optional<std::string> address;
    };
    /// The bytes are not such a header. Close the stream.
    struct Malformed {
        std::string_view text;  ///< what is wrong, for a log line; valid forever
    };
    /// The result of receive().
    using Verdict = std::variant<NeedMore, Done, Malformed>;

    /// The most bytes of a header of version 1, with its line end.
    static constexpr std::size_t max_version_1 = 107;
    /// The most bytes of a header of version 2. Its extensions (TLV) are skipped; certificates may be among them.
    static constexpr std::size_t max_version_2 = 16 + 2048;

    /// Reads bytes from the peer, cut anywhere. Precondition: all verdicts so far were NeedMore.
    Verdict receive(Bytes bytes);
    /// How many bytes of the last receive() were read. After Done: the bytes after them do not belong to the header.
    std::size_t consumed() const noexcept { return consumed_; }

   private:
    /// Of version 2: 16 bytes, and the path of the client's Unix socket. Version 1 is shorter.
    static constexpr std::size_t max_kept = 16 + 108;
    static_assert(max_kept >= max_version_1);

    Verdict take(std::uint8_t byte);
    Verdict take_version_1() const;
    Verdict take_version_2();
    std::optional<std::string_view> problem_of_version_2() const noexcept;
    std::size_t length_of_addresses() const noexcept;
    std::optional<std::string> address_of_version_2() const;

    std::array<std::uint8_t, max_kept> kept_{};  // the first bytes of the header
    std::size_t size_ = 0;                       // bytes of the header so far
    std::size_t end_ = max_version_2;            // of version 2, as soon as it is known: bytes of the header
    std::size_t consumed_ = 0;
};

}  // namespace wsserver
