// The two ends of a connection in memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/output_buffer.hpp"

namespace wsserver::detail {

/// One end of a connection: the bytes that have arrived, and the state of the other end.
struct MemoryEnd {
    std::string peer_name;
    MemoryEnd* other = nullptr;  // has the same lifetime
    OutputBuffer arrived;
    std::size_t read = 0;                                          // bytes of `arrived` that were read
    std::size_t window = std::numeric_limits<std::size_t>::max();  // the most unread bytes, except those of put()
    bool peer_ended = false;                                       // no more bytes will arrive
    bool peer_gone = false;                                        // the other end is closed and takes no bytes
    bool reset = false;
    bool closed = false;
    std::function<void()> on_arrival{};  // bytes, an end or a reset have arrived
    std::function<void()> on_space{};    // the other end has read bytes, or is gone

    MutableBytes unread() noexcept { return arrived.bytes().subspan(read); }
    bool at_end() const noexcept { return read == arrived.size() && (peer_ended || reset); }
    std::size_t space() const noexcept { return window - std::min(window, arrived.size() - read); }

    void consume(std::size_t count) {
        read += count;
        if (read == arrived.size()) {
            arrived.clear();
            read = 0;
        }
        if (count > 0 && other->on_space) other->on_space();
    }

    /// Passes to the other end as many bytes as its window allows. Returns their number.
    std::size_t bring(Bytes bytes) {
        const std::size_t count = std::min(bytes.size(), other->space());
        put(bytes.first(count));
        return count;
    }

    /// Passes all bytes to the other end, regardless of its window.
    void put(Bytes bytes) {
        if (bytes.empty()) return;
        other->arrived.append(bytes);
        if (other->on_arrival) other->on_arrival();
    }

    void end_direction() {
        if (std::exchange(other->peer_ended, true)) return;
        if (other->on_arrival) other->on_arrival();
    }

    /// As in TCP, an end that closes with unread bytes resets the connection.
    void close(bool with_reset) {
        if (std::exchange(closed, true)) return;
        if (with_reset || read != arrived.size()) other->reset = true;
        other->peer_gone = true;
        other->peer_ended = true;
        on_arrival = nullptr;
        on_space = nullptr;
        if (other->on_arrival) other->on_arrival();
        if (other->on_space) other->on_space();
    }
};

/// Both ends share one block of memory, so that `other` is valid while either of them is owned.
std::pair<std::shared_ptr<MemoryEnd>, std::shared_ptr<MemoryEnd>> make_ends(std::string first, std::string second);

}  // namespace wsserver::detail
