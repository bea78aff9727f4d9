// Encodes the messages of a load, and decodes the frames of the server.
#include "messages.hpp"

#include <algorithm>
#include <random>
#include <stdexcept>
#include <utility>
#include <variant>

#include "wsserver/protocol/frame.hpp"

namespace wsserver::bench {

namespace {

constexpr const char* wrong_message = "the server under test sends other messages than expected";

Opcode opcode(MessageKind kind) { return kind.text ? Opcode::text : Opcode::binary; }

enum class Masked : bool { no, yes };

std::string make_frames(MessageKind kind, std::size_t count, Masked masked) {
    std::mt19937 random{1};
    OutputBuffer frames;
    for (std::size_t i = 0; i < count; ++i) {
        std::string payload(kind.size, ' ');
        for (char& c : payload) c = static_cast<char>('a' + random() % 26);
        FrameHeader header{.opcode = opcode(kind), .payload_length = payload.size()};
        if (masked == Masked::yes) {
            for (auto& byte : header.masking_key.emplace()) byte = static_cast<std::uint8_t>(random());
        }
        append_frame(frames, header, bytes_of(payload));
    }
    return std::string{text_of(frames.bytes())};
}

}  // namespace

std::string masked_frames(MessageKind kind, std::size_t count) { return make_frames(kind, count, Masked::yes); }

std::string unmasked_frames(MessageKind kind, std::size_t count) { return make_frames(kind, count, Masked::no); }

std::string masked_pong() {
    OutputBuffer frame;
    append_frame(frame, {.opcode = Opcode::pong, .masking_key = MaskingKey{1, 2, 3, 4}, .payload_length = 0}, {});
    return std::string{text_of(frame.bytes())};
}

MessageCounter::MessageCounter(MessageKind kind) : size_(kind.size) {
    OutputBuffer frame;
    append_frame(frame, {.opcode = opcode(kind), .payload_length = size_}, bytes_of(std::string(size_, ' ')));
    header_ = text_of(frame.bytes()).substr(0, frame.bytes().size() - size_);
}

std::size_t MessageCounter::count(Progress& progress, std::string_view bytes) const {
    std::size_t messages = 0;
    if (progress.received == 0 && progress.header.empty() && progress.payload_left == 0) {
        const std::size_t whole = header_.size() + size_;
        for (; bytes.size() >= whole && bytes.starts_with(header_); bytes.remove_prefix(whole)) ++messages;
        if (bytes.empty()) return messages;
    }
    for (;;) {
        const std::size_t payload = std::min(progress.payload_left, bytes.size());
        bytes.remove_prefix(payload);
        progress.payload_left -= payload;
        if (!progress.control) progress.received += payload;
        if (progress.payload_left == 0 && std::exchange(progress.last_fragment, false)) {
            if (std::exchange(progress.received, 0) != size_) throw std::runtime_error{wrong_message};
            ++messages;
        }
        if (bytes.empty() || !take_header(progress, bytes)) return messages;
    }
}

/// Decodes a header. False if it is incomplete.
bool MessageCounter::take_header(Progress& progress, std::string_view& bytes) const {
    const std::size_t known = progress.header.size();
    progress.header += bytes.substr(0, max_frame_header - known);
    const auto decoded = decode_header(bytes_of(progress.header));
    if (std::holds_alternative<NeedMore>(decoded)) {
        bytes = {};
        return false;
    }
    const auto* header = std::get_if<FrameHeader>(&decoded);
    if (header == nullptr || header->opcode == Opcode::close) throw std::runtime_error{wrong_message};
    progress.payload_left = static_cast<std::size_t>(header->payload_length);
    progress.control = is_control(header->opcode);
    progress.pinged = progress.pinged || header->opcode == Opcode::ping;
    progress.last_fragment = header->fin && !progress.control;
    bytes.remove_prefix(header->size - known);
    progress.header.clear();
    return true;
}

}  // namespace wsserver::bench
