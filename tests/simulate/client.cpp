#include "simulate/client.hpp"

#include <algorithm>
#include <limits>
#include <utility>
#include <variant>

#include "wsserver/protocol/message.hpp"

namespace wsserver::simulate {

namespace {

constexpr std::size_t everything = std::numeric_limits<std::size_t>::max();

}  // namespace

Client::Client(MemoryWire wire, std::size_t number, Manner manner, Habits habits, Random& random)
    : wire_(std::move(wire)), number_(number), manner_(manner), habits_(habits), random_(random) {
    end_->options.fragment_size = random_.one_in(2) ? 0 : random_.size(4096);
    end_->options.max_fragments = everything;
    unwritten_ = "GET /" + std::to_string(number_) +
                 " HTTP/1.1\r\nHost: server\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    unwritten_ += std::string{"Sec-WebSocket-Protocol: "} + (habits_.pooled ? "pooled" : "inline") + "\r\n\r\n";
    if (manner_ == Manner::deaf || (manner_ != Manner::polite && random_.chance(50)))
        wire_.set_window(random_.size(1 << 16));
}

std::uint64_t Client::last_echo() const {
    const auto found = arrivals_.find("echo");
    return found == arrivals_.end() || found->second.numbers().empty() ? 0 : found->second.numbers().back();
}

// --- What it does ---

void Client::act() {
    if (state_ == State::ended) return;
    if (state_ == State::open && random_.chance(40)) send(next_size());
    if (state_ == State::open && random_.one_in(30)) (void)end_->protocol.ping(bytes_of("?"), out_).has_value();
    encode();
    if (keeps_up()) return catch_up();
    if (manner_ == Manner::rude && random_.one_in(40)) return be_rude();
    if (manner_ == Manner::hog) return be_a_hog();
    if (random_.one_in(20)) tired_ = !tired_;
    if (manner_ == Manner::deaf && state_ != State::connecting) tired_ = true;
    write(random_.size(1 << 14));
    if (!tired_) read(random_.size(1 << 14));
}

void Client::send(std::size_t filling) {
    const std::string source = habits_.publishes ? "publish" + std::to_string(number_) : "echo";
    const std::string text = make_text(source, ++sent_, filling);
    const bool binary = random_.one_in(4);
    (void)(binary ? end_->protocol.send(Binary{bytes_of(text)}, out_) : end_->protocol.send(Text{text}, out_))
        .has_value();
    encode();
}

void Client::close() {
    if (state_ != State::open) return;
    (void)end_->protocol.close(CloseCode::normal, "bye", out_).has_value();
    state_ = State::closing;
    encode();
}

void Client::be_rude() {
    switch (random_.below(6)) {
        case 0:
            was_rude_ = true;
            wire_.reset();
            return end();
        case 1:
            was_rude_ = true;
            wire_.close();
            return end();
        case 2:  // reserved bits
            was_rude_ = true;
            if (state_ == State::open && unwritten_.empty()) wire_.write(std::string_view{"\xf1\x80\0\0\0\0", 6});
            return;
        case 3:
            was_rude_ = true;
            if (unwritten_.empty()) wire_.shutdown();
            return end();
        default:
            return close();
    }
}

std::size_t Client::next_size() {
    if (manner_ == Manner::hog || manner_ == Manner::deaf) return 1 + random_.below(habits_.large);
    if (habits_.publishes) return random_.size(3'000);
    return random_.size(random_.one_in(20) ? habits_.longest : 300);
}

void Client::be_a_hog() {
    const std::size_t kept = random_.one_in(8) ? 0 : random_.size(100);
    write(unwritten_.size() - std::min(kept, unwritten_.size()));
    if (!random_.one_in(3)) read(everything);
}

void Client::end() { state_ = State::ended; }

void Client::catch_up() {
    write(everything);
    read(everything);
    write(everything);
}

// --- Bytes ---

void Client::encode() {
    unwritten_.append(text_of(std::as_const(out_).bytes()));
    sent_bytes_ += out_.size();
    out_.clear();
}

void Client::write(std::size_t most) {
    if (state_ == State::ended) return;
    const std::size_t count = std::min(most, unwritten_.size());
    if (count > 0) wire_.write(std::string_view{unwritten_}.substr(0, count));
    unwritten_.erase(0, count);
}

void Client::read(std::size_t most) {
    if (state_ == State::ended) return;
    take(wire_.read(most));
    if (wire_.was_reset() || wire_.at_end()) {
        if (state_ != State::ended) wire_.close();
        end();
    }
}

void Client::take(std::string bytes) {
    if (state_ == State::connecting) {
        response_ += bytes;
        const auto head = response_.find("\r\n\r\n");
        if (head == response_.npos) return;
        bytes = response_.substr(head + 4);
        if (!response_.starts_with("HTTP/1.1 101 ")) return;  // the end of the stream follows
        state_ = State::open;
    }
    MutableBytes received{reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()};
    while (const auto event = end_->protocol.next_event(received, out_)) react(*event);
    encode();
}

void Client::react(const Event& event) {
    std::visit(overloaded{
                   [this](const Text& text) { arrived(text.text); },
                   [this](const Binary& binary) { arrived(text_of(binary.bytes)); },
                   [this](const Close& close) {
                       saw_close_ = true;
                       close_code_ = close.code;
                       state_ = State::closing;
                   },
                   [](const Failed& failed) {
                       throw Violation{"the server broke a rule: " + std::string{message_of(failed.error)}};
                   },
                   [](const auto&) {},
               },
               event);
}

void Client::arrived(std::string_view text) {
    const Mark mark = read_mark(text);
    Arrivals& before = arrivals_[mark.source];
    if (!before.may_follow(mark.number)) {
        throw Violation{"client " + std::to_string(number_) + " received " + mark.source + ' ' +
                        std::to_string(mark.number) + " after " + std::to_string(before.numbers().back())};
    }
    before.add(mark.number);
}

}  // namespace wsserver::simulate
