// Streams over io_uring that send and receive at random, and what tests of them share.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/transport_rigs.hpp"
#include "wsserver/transport/uring.hpp"

namespace wsserver::test {

/// Each of its rings is always full.
inline constexpr UringSizes tiny{.submissions = 8, .completions = 16, .buffers = 2};
inline constexpr UringSizes tiny_and_old{.submissions = 8, .completions = 16, .buffers = 2, .like_linux_6_0 = true};
/// The default sizes and the two above.
inline constexpr std::array all_sizes{UringSizes{}, tiny, tiny_and_old};

/// The bytes that stream number `who` sends.
inline std::string_view words_of(unsigned who, std::size_t size) {
    static const std::string all = pattern(3'000'000);
    return std::string_view{all}.substr(who * 7919 % 1'000'000, size);
}

using Dice = std::minstd_rand;

/// Sends all of `words` in batches of random size and kind, compares what it receives with `expected`, and pauses at
/// random.
class Talker final : public StreamUser {
   public:
    enum class Fate { none, close, destroy };

    Talker(UringTransport& transport, UringTransport::Socket socket, unsigned seed, std::string_view words,
           std::string_view expected)
        : transport_(transport), dice_(seed), words_(words), expected_(expected) {
        stream_.emplace(transport, std::move(socket));
        stream_->start(*this);
    }

    bool in_order = true;
    bool broke_promise = false;
    std::size_t heard = 0;
    int buffers_filled = 0;
    bool has_ended = false, has_failed = false;
    Fate fate = Fate::none;

    bool said_all() const { return said_ == words_.size() && !in_flight_; }
    bool heard_all() const { return heard == expected_.size(); }
    bool is_gone() const { return !stream_ || is_released_; }

    void speak() {
        while (is_here() && !in_flight_ && said_ < words_.size()) in_flight_ = !send_some();
    }
    void meet(Fate how) {
        if (!is_here()) return;
        is_closed_ = true;
        switch (how) {
            case Fate::none:
                is_closed_ = false;
                break;
            case Fate::close:
                stream_->close();
                break;
            case Fate::destroy:
                stream_.reset();
                break;
        }
    }

   private:
    bool is_here() const { return stream_ && !is_closed_; }
    bool one_in(unsigned count) { return dice_() / 8 % count == 0; }
    std::size_t up_to(std::size_t count) { return 1 + dice_() / 8 % count; }

    bool send_some() {
        const std::size_t size = std::min(up_to(one_in(4) ? 200'000 : 2000), words_.size() - said_);
        const std::string_view batch = words_.substr(said_, size);
        said_ += size;
        if (one_in(3)) return send_as_pieces(batch);
        OutputBuffer& arena = transport_.output();
        arena.append(bytes_of(batch));
        const SendPiece piece{std::as_const(arena).bytes(), {}};
        const bool left = stream_->send(std::span{&piece, 1});
        arena.clear();
        return left;
    }

    bool send_as_pieces(std::string_view batch) {
        std::vector<SendPiece> pieces;
        const std::size_t count = up_to(100);
        const auto owner = std::make_shared<const std::string>(batch);
        std::string copy{batch};
        for (std::size_t at = 0; at < batch.size();) {
            const std::size_t size = std::min(batch.size() - at, batch.size() / count + 1);
            const bool owned = one_in(2);
            const std::string_view all = owned ? std::string_view{*owner} : std::string_view{copy};
            pieces.push_back({bytes_of(all.substr(at, size)), owned ? owner : nullptr});
            at += size;
        }
        const bool left = stream_->send(pieces);
        std::fill(copy.begin(), copy.end(), '?');
        return left;
    }

    void check_call() {
        if (!is_here() || has_failed) broke_promise = true;
    }
    void on_bytes(MutableBytes bytes) override {
        check_call();
        if (has_ended || is_paused_ || is_lending_) broke_promise = true;
        if (expected_.substr(std::min(heard, expected_.size()), bytes.size()) != text_of(bytes)) in_order = false;
        heard += bytes.size();
        std::fill(bytes.begin(), bytes.end(), std::uint8_t{0xEE});
        if (one_in(8)) pause();
        if (fate != Fate::none && one_in(4)) return meet(fate);
        speak();
    }
    bool wants_buffer() const noexcept override { return expected_.size() - heard > 200'000; }
    ReceiveBuffer prepare_buffer() noexcept override {
        check_call();
        if (is_lending_) broke_promise = true;
        if (one_in(4)) return {};
        is_lending_ = true;
        return {PooledBuffer{100'000}, 7, up_to(99'000)};
    }
    void commit_buffer(ReceiveBuffer buffer, std::size_t count) override {
        check_call();
        if (!is_lending_ || buffer.begin != 7) broke_promise = true;
        is_lending_ = false;
        if (count > 0) ++buffers_filled;
        if (count > 0) on_bytes(buffer.bytes().first(count));
    }
    void on_sent() override {
        check_call();
        in_flight_ = false;
        if (fate != Fate::none && one_in(8)) return meet(fate);
        speak();
    }
    void on_end(std::error_code error) override {
        check_call();
        (error ? has_failed : has_ended) = true;
        if (fate != Fate::none && one_in(2)) meet(fate);
    }
    void on_released() override {
        if (!is_closed_ || is_released_) broke_promise = true;
        is_released_ = true;
    }

    void pause() {
        stream_->pause_receiving();
        is_paused_ = true;
        transport_.post([this] {
            if (!is_here() || !is_paused_) return;
            is_paused_ = false;
            stream_->resume_receiving();
        });
    }

    UringTransport& transport_;
    std::optional<UringTransport::Stream> stream_;
    Dice dice_;
    std::string_view words_, expected_;
    std::size_t said_ = 0;
    bool in_flight_ = false;
    bool is_paused_ = false;
    bool is_lending_ = false;
    bool is_closed_ = false;
    bool is_released_ = false;
};

using Talkers = std::vector<std::unique_ptr<Talker>>;

/// Connected pairs of talkers, over TCP and Unix, with small and large send buffers.
inline Talkers meeting(UringTransport& transport, unsigned pairs, unsigned seed, std::size_t words) {
    Talkers all;
    for (unsigned i = 0; i < pairs; ++i) {
        auto one_and_other = i % 3 == 0 ? unix_pair() : tcp_pair();
        auto &one = one_and_other.first, &other = one_and_other.second;
        if (i % 2 == 0) make_narrow(one);
        const auto a = words_of(seed + 2 * i, words), b = words_of(seed + 2 * i + 1, words);
        all.push_back(std::make_unique<Talker>(transport, std::move(one), seed * 1000 + 2 * i + 1, a, b));
        all.push_back(std::make_unique<Talker>(transport, std::move(other), seed * 1000 + 2 * i + 2, b, a));
    }
    return all;
}

template <class F>
bool all_of(const Talkers& all, F&& f) {
    return std::all_of(all.begin(), all.end(), [&](const auto& one) { return f(*one); });
}

/// Reads the bytes that a blocking socket has, at most `most`. False at the end of the stream.
inline bool read_some(const Descriptor& socket, std::string& to, std::size_t most) {
    std::string some(most, '\0');
    const ssize_t count = ::recv(socket.get(), some.data(), some.size(), MSG_DONTWAIT);
    if (count > 0) to.append(some, 0, static_cast<std::size_t>(count));
    return count > 0 || (count < 0 && errno == EAGAIN);
}

/// Like run_until(), for a condition that does not wake the loop.
inline void watch_until(UringTransport& transport, const std::function<bool()>& done) {
    const auto end = Clock::now() + patience;
    while (!done()) {
        transport.run_turn(Clock::now() + std::chrono::milliseconds{1});
        if (Clock::now() >= end) throw std::runtime_error("the test timed out");
    }
}

inline bool has_hung_up(const Descriptor& socket) {
    pollfd question{.fd = socket.get(), .events = POLLIN, .revents = 0};
    ::poll(&question, 1, 0);
    return (question.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace wsserver::test
