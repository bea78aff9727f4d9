// Two ends that hold each other's bytes.
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

/// One end of a connection: what has arrived here, and what has become of the other end.
struct MemoryEnd {
    std::string peer_name;
    MemoryEnd* other = nullptr;  // lives and dies with this one
    OutputBuffer arrived;
    std::size_t read = 0;  // of `arrived`
    std::size_t window = std::numeric_limits<std::size_t>::max();
    bool peer_ended = false;  // nothing more will arrive
    bool peer_gone = false;   // nor does the peer take anything
    bool reset = false;
    bool closed = false;
    std::function<void()> on_arrival{};  // bytes, end or reset
    std::function<void()> on_space{};    // the other end has read, or is gone

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

    /// Brings bytes to the other end, as far as it has room. Returns how many.
    std::size_t bring(Bytes bytes) {
        const std::size_t count = std::min(bytes.size(), other->space());
        put(bytes.first(count));
        return count;
    }

    /// The same, whether it has room or not.
    void put(Bytes bytes) {
        if (bytes.empty()) return;
        other->arrived.append(bytes);
        if (other->on_arrival) other->on_arrival();
    }

    void end_direction() {
        if (std::exchange(other->peer_ended, true)) return;
        if (other->on_arrival) other->on_arrival();
    }

    /// TCP: who closes with bytes unread resets the connection.
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

/// The two live in one block, so that `other` is valid as long as either is held.
std::pair<std::shared_ptr<MemoryEnd>, std::shared_ptr<MemoryEnd>> make_ends(std::string first, std::string second);

}  // namespace wsserver::detail
