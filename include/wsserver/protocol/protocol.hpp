// The whole of RFC 6455 after the opening handshake, without I/O: bytes in, events out, bytes out.
#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/output_buffer.hpp"
#include "wsserver/base/receive_buffer.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/protocol/encode.hpp"
#include "wsserver/protocol/error.hpp"
#include "wsserver/protocol/frame.hpp"
#include "wsserver/protocol/frame_tap.hpp"
#include "wsserver/protocol/mask.hpp"
#include "wsserver/protocol/message.hpp"
#include "wsserver/protocol/reassembly.hpp"
#include "wsserver/protocol/rfc6455.hpp"

namespace wsserver {

/// Gives a client its masking keys: each call a fresh one "from a strong source of entropy" (RFC 6455 §5.3).
class MaskingKeySource {
   public:
    virtual MaskingKey next_key() noexcept = 0;

   protected:
    ~MaskingKeySource() = default;
};

/// One set serves many connections. May be changed between two calls of a Protocol: the next frame obeys it.
struct ProtocolOptions {
    std::size_t max_message = std::size_t{16} << 20;    ///< bytes of a message received, beyond: 1009
    std::size_t max_fragments = 131'072;                ///< frames of a message received, beyond: 1009
    std::size_t fragment_size = std::size_t{64} << 10;  ///< bytes of payload in a data frame sent; 0: unlimited
    FrameTap* tap = nullptr;
    MaskingKeySource* keys = nullptr;  ///< a client needs it
};

/// The peer broke a rule. The Close frame that says so is in the output, unless one had been sent before.
struct Failed {
    Errc error;
};

/// Views in it are valid until the next call of next_event() or receive_eof(), and as long as the bytes received.
using Event = std::variant<Text, Binary, Close, Ping, Pong, Failed>;

/// What differs between the two ends.
template <Role role>
struct RoleRules;

template <>
struct RoleRules<Role::server> {
    /// §5.1: "The server MUST close the connection upon receiving a frame that is not masked."
    static constexpr bool peer_masks = true;
    static constexpr Errc wrong_masking = Errc::frame_not_masked;
    /// §5.1: "A server MUST NOT mask any frames that it sends to the client."
    static std::optional<MaskingKey> masking_key(const ProtocolOptions&) noexcept { return std::nullopt; }
    /// §7.1.1: the stream "SHOULD be closed first by the server", which then holds the TIME_WAIT state, not the client.
    static constexpr bool ends_stream = true;
};

template <>
struct RoleRules<Role::client> {
    /// §5.1: "A client MUST close a connection if it detects a masked frame."
    static constexpr bool peer_masks = false;
    static constexpr Errc wrong_masking = Errc::frame_masked;
    /// §5.3: "a fresh masking key" for every frame.
    static std::optional<MaskingKey> masking_key(const ProtocolOptions& options) noexcept {
        assert(options.keys != nullptr);
        return options.keys->next_key();
    }
    /// §7.1.1: the client waits for the server to close.
    static constexpr bool ends_stream = false;
};

namespace detail {

/// What is wrong with a Close frame's payload (§5.5.1).
inline std::optional<Errc> check_close_payload(Bytes payload) noexcept {
    if (payload.empty()) return std::nullopt;
    // "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer"
    if (payload.size() == 1) return Errc::close_payload_of_one_byte;
    if (!may_be_sent(CloseCode{load_big_endian<std::uint16_t>(payload)})) return Errc::invalid_close_code;
    if (!is_valid_utf8(payload.subspan(2))) return Errc::invalid_utf8_in_close_reason;
    return std::nullopt;
}

}  // namespace detail

/// One connection's end, from the opening handshake to the last frame.
///
///     // `bytes` as they come, cut anywhere
///     while (auto event = protocol.next_event(bytes, output)) handle(*event);
///
/// What the RFC wants said at once (pongs, the answer to a Close, the Close after a broken rule) is put into
/// `output` by next_event(), in its place among what the handling of events puts there. Idle it owns no memory
/// besides itself; it allocates while a payload is cut, and while `output` grows.
template <Role role>
class Protocol {
   public:
    using Rules = RoleRules<role>;

    /// `options` must outlive it.
    explicit Protocol(const ProtocolOptions& options) noexcept : options_(&options) {}

    /// The next thing that the peer said. Takes what it looked at from the front of `received`; payload is unmasked
    /// where it lies. Nothing: `received` is empty, more bytes are needed. The last event is Close or Failed; what
    /// comes after it is ignored: §1.4 "a peer discards any further data received".
    /// Bytes that are left may also come again later, in other memory.
    std::optional<Event> next_event(MutableBytes& received, OutputBuffer& output);

    /// Is so much of a message to come that it had better be received into the message itself? And has enough come to
    /// be believed?
    bool wants_buffer() const noexcept;
    /// Where to. Precondition: wants_buffer(), and next_event() has taken all that was received before.
    ReceiveBuffer prepare_buffer();
    /// Ends the loan, before anything else is received. The first `count` bytes of the room have come: they are what
    /// next_event() wants next, where they lie.
    MutableBytes commit_buffer(ReceiveBuffer buffer, std::size_t count) noexcept;

    /// The stream has ended in the peer's direction: nothing comes any more, and nothing may be said.
    void receive_eof() noexcept { end(); }

    /// Queues a message; one of more than fragment_size bytes leaves in fragments, which may cut characters.
    /// `message` must be valid UTF-8 (§5.6), and lie outside of `output`.
    /// Errors: connection_closed.
    Result<void, Errc> send(const Text& message, OutputBuffer& output) { return send_message(message, output); }
    /// The same for bytes.
    Result<void, Errc> send(const Binary& message, OutputBuffer& output) { return send_message(message, output); }

    /// Errors: connection_closed, payload_too_long_for_control (over 125 bytes).
    Result<void, Errc> ping(Bytes payload, OutputBuffer& output) { return send_control(Opcode::ping, payload, output); }
    /// One that no ping asked for (§5.5.3); pings are answered by next_event(). Errors: as ping().
    Result<void, Errc> pong(Bytes payload, OutputBuffer& output) { return send_control(Opcode::pong, payload, output); }

    /// Begins the closing handshake (§7.1.2). Messages are still received until the peer's Close comes.
    /// Errors: connection_closed (a Close has been sent), close_code_may_not_be_sent, payload_too_long_for_control
    /// (a reason over 123 bytes), invalid_utf8_in_close_reason. On an error nothing is sent.
    Result<void, Errc> close(CloseCode code, std::string_view reason, OutputBuffer& output);

    /// send(), ping(), pong() and close() don't answer connection_closed.
    bool may_send() const noexcept { return !close_sent_ && !finished(); }
    bool close_sent() const noexcept { return close_sent_; }
    bool close_received() const noexcept { return close_received_; }
    /// The peer broke a rule.
    bool failed() const noexcept { return failed_; }
    /// Nothing more to expect or to say: both Close frames passed, or it failed, or the stream ended. Then the
    /// server ends the stream, and the client waits for that (§7.1.1, Rules::ends_stream).
    bool finished() const noexcept { return std::holds_alternative<Over>(state_); }

    /// §7.1.5, of the peer's Close frame: its code, no_status if it had none, abnormal if none has come.
    CloseCode close_code() const noexcept { return close_code_; }
    /// The same of the Close frame that we sent.
    CloseCode sent_close_code() const noexcept { return sent_close_code_; }

   private:
    /// Between two frames, or in a header that the end of a receive has cut.
    struct ReadingHeader {
        std::array<std::uint8_t, max_frame_header> bytes;
        std::uint8_t size = 0;
    };
    /// The shortest header that the peer's frames have.
    static constexpr std::size_t short_header = header_size(0, Rules::peer_masks);
    struct ReadingPayload {
        std::uint64_t remaining;
        MaskingKey key;
        std::uint8_t phase;
        Opcode opcode;
        bool fin;
    };
    struct Over {};
    /// For less a copy is cheaper than a receive of its own.
    static constexpr std::size_t worth_lending = std::size_t{64} << 10;

    std::size_t short_message(Bytes received) const noexcept;
    std::optional<Event> read_short_message(MutableBytes frame, OutputBuffer& output);
    static std::variant<FrameHeader, NeedMore, Errc> read_header(ReadingHeader& reading,
                                                                 MutableBytes& received) noexcept;
    std::optional<Errc> begin_frame(const FrameHeader& header);
    std::optional<Event> read_payload(ReadingPayload& frame, MutableBytes& received, OutputBuffer& output);
    std::optional<Event> on_data(Opcode opcode, Bytes piece, std::size_t to_come, bool message_ends,
                                 OutputBuffer& output);
    std::optional<Event> on_control(Opcode opcode, Bytes piece, bool frame_ends, OutputBuffer& output);
    std::optional<Event> on_whole_control(Opcode opcode, Bytes payload, OutputBuffer& output);
    std::optional<Event> fail(Errc error, OutputBuffer& output);
    void end() noexcept;

    template <class M>
    Result<void, Errc> send_message(const M& message, OutputBuffer& output);
    Result<void, Errc> send_control(Opcode opcode, Bytes payload, OutputBuffer& output);
    void write_frame(FrameHeader header, Bytes payload, OutputBuffer& output);
    void write_control(Opcode opcode, Bytes payload, OutputBuffer& output);
    void write_close(CloseCode code, std::string_view reason, OutputBuffer& output);

    bool message_is_open() const noexcept { return partial_ && partial_->message; }
    PartialPayloads& partial() {
        if (!partial_) partial_ = std::make_unique<PartialPayloads>();
        return *partial_;
    }
    void drop_delivered() noexcept {
        if (!partial_) return;
        partial_->drop_delivered();
        if (partial_->empty()) partial_.reset();
    }
    static Event event_of(Opcode opcode, Bytes payload) {
        Event event;
        with_message_type(opcode, [&]<class M>() { event = M::from_payload(payload); });
        return event;
    }

    const ProtocolOptions* options_;
    std::unique_ptr<PartialPayloads> partial_{};
    // What follows lies in the bytes that the variant leaves free behind its index.
    [[no_unique_address]] std::variant<ReadingHeader, ReadingPayload, Over> state_{};
    bool close_sent_ : 1 = false;
    bool close_received_ : 1 = false;
    bool failed_ : 1 = false;
    CloseCode close_code_ = CloseCode::abnormal;
    CloseCode sent_close_code_ = CloseCode::abnormal;
};

// A daemon holds one for each idle connection.
static_assert(sizeof(Protocol<Role::server>) <= 40);

template <Role role>
std::optional<Event> Protocol<role>::next_event(MutableBytes& received, OutputBuffer& output) {
    drop_delivered();
    if (const std::size_t size = short_message(received); size > 0) {
        const MutableBytes frame = received.first(size);
        received = received.subspan(size);
        return read_short_message(frame, output);
    }
    while (!finished()) {
        if (auto* reading = std::get_if<ReadingHeader>(&state_)) {
            const auto header = read_header(*reading, received);
            if (std::holds_alternative<NeedMore>(header)) return std::nullopt;
            if (const auto* error = std::get_if<Errc>(&header)) return fail(*error, output);
            if (const auto error = begin_frame(*std::get_if<FrameHeader>(&header))) return fail(*error, output);
        }
        auto& frame = *std::get_if<ReadingPayload>(&state_);
        if (frame.remaining > 0 && received.empty()) return std::nullopt;
        if (auto event = read_payload(frame, received, output)) return event;
    }
    partial_.reset();
    received = {};
    return std::nullopt;
}

template <Role role>
bool Protocol<role>::wants_buffer() const noexcept {
    const auto* frame = std::get_if<ReadingPayload>(&state_);
    return frame && frame->remaining >= worth_lending && is_data(frame->opcode) && message_is_open() &&
           partial_->message->wants_buffer(static_cast<std::size_t>(frame->remaining));
}

template <Role role>
ReceiveBuffer Protocol<role>::prepare_buffer() {
    return partial_->message->prepare_buffer(static_cast<std::size_t>(std::get_if<ReadingPayload>(&state_)->remaining));
}

template <Role role>
MutableBytes Protocol<role>::commit_buffer(ReceiveBuffer buffer, std::size_t count) noexcept {
    if (!message_is_open()) return {};  // receive_eof() came in between
    const MutableBytes come = buffer.bytes().first(count);
    partial_->message->commit_buffer(std::move(buffer));
    return come;
}

/// The commonest case is short-cut: one unfragmented message with a length of seven bits, all of it received.
/// Returns the bytes of its frame, 0 for anything else: that goes the long way, which knows all the rules.
template <Role role>
std::size_t Protocol<role>::short_message(Bytes received) const noexcept {
    const auto* reading = std::get_if<ReadingHeader>(&state_);
    if (!reading || reading->size > 0 || partial_ || options_->tap || received.size() < short_header) return 0;
    const auto starts = [&](Opcode opcode) { return received[0] == (0x80 | static_cast<std::uint8_t>(opcode)); };
    if (!starts(Opcode::text) && !starts(Opcode::binary)) return 0;  // FIN, and no RSV bit
    const std::size_t length = received[1] & 0x7F;
    if ((received[1] & 0x80) != (Rules::peer_masks ? 0x80 : 0) || length > 125) return 0;
    const bool fits = length <= options_->max_message && length <= received.size() - short_header;
    return fits ? short_header + length : 0;
}

/// `frame` as short_message() has found it. Each event is made where the caller gets it: a variant that is copied right
/// after it was written makes the processor wait for the stores.
template <Role role>
std::optional<Event> Protocol<role>::read_short_message(MutableBytes frame, OutputBuffer& output) {
    const MutableBytes payload = frame.subspan(short_header);
    if constexpr (Rules::peer_masks) apply_mask(payload, MaskingKey{frame[2], frame[3], frame[4], frame[5]});
    if ((frame[0] & 0xF) == static_cast<std::uint8_t>(Opcode::binary)) return Binary::from_payload(payload);
    if (!is_valid_utf8(payload)) return fail(Errc::invalid_utf8, output);
    return Text::from_payload(payload);
}

/// Takes a whole header, or all that was received if that ends within one.
template <Role role>
std::variant<FrameHeader, NeedMore, Errc> Protocol<role>::read_header(ReadingHeader& reading,
                                                                      MutableBytes& received) noexcept {
    Bytes from = received;
    if (reading.size > 0) {
        const std::size_t added = std::min(received.size(), reading.bytes.size() - reading.size);
        if (added > 0) std::memcpy(reading.bytes.data() + reading.size, received.data(), added);
        from = Bytes{reading.bytes}.first(reading.size + added);
    }
    const auto result = decode_header(from);
    if (const auto* header = std::get_if<FrameHeader>(&result)) {
        received = received.subspan(header->size - reading.size);
    } else if (std::holds_alternative<NeedMore>(result)) {
        if (reading.size == 0 && !from.empty()) std::memcpy(reading.bytes.data(), from.data(), from.size());
        reading.size = static_cast<std::uint8_t>(from.size());
        received = {};
    }
    return result;
}

/// The rules that need to know who reads and what came before; then the payload is next.
template <Role role>
std::optional<Errc> Protocol<role>::begin_frame(const FrameHeader& header) {
    if (options_->tap) options_->tap->on_frame(true, header);
    // §5.2: RSV bits "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values".
    if (header.rsv != 0) return Errc::reserved_bits_set;
    if (header.masking_key.has_value() != Rules::peer_masks) return Rules::wrong_masking;

    if (is_data(header.opcode)) {
        // §5.4: a continuation continues the one message that is open; no other message begins before its end.
        const bool continues = header.opcode == Opcode::continuation;
        if (continues && !message_is_open()) return Errc::unexpected_continuation;
        if (!continues && message_is_open()) return Errc::expected_continuation;
        const std::size_t so_far = continues ? partial_->message->size() : 0;
        if (so_far > options_->max_message || header.payload_length > options_->max_message - so_far) {
            return Errc::message_too_big;
        }
        if (continues) {
            partial_->message->count_fragment();
            if (partial_->message->fragments() > options_->max_fragments) return Errc::too_many_fragments;
        }
    }
    state_ =
        ReadingPayload{header.payload_length, header.masking_key.value_or(MaskingKey{}), 0, header.opcode, header.fin};
    return std::nullopt;
}

template <Role role>
std::optional<Event> Protocol<role>::read_payload(ReadingPayload& frame, MutableBytes& received, OutputBuffer& output) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(frame.remaining, received.size()));
    const MutableBytes piece = received.first(count);
    received = received.subspan(count);
    if constexpr (Rules::peer_masks) {
        apply_mask(piece, frame.key, frame.phase);
        frame.phase = static_cast<std::uint8_t>((frame.phase + count) & 3);
    }
    frame.remaining -= count;

    const auto [opcode, fin] = std::pair{frame.opcode, frame.fin};
    const auto to_come = static_cast<std::size_t>(frame.remaining);
    const bool frame_ends = frame.remaining == 0;
    if (frame_ends) state_ = ReadingHeader{};
    return is_control(opcode) ? on_control(opcode, piece, frame_ends, output)
                              : on_data(opcode, piece, to_come, frame_ends && fin, output);
}

template <Role role>
std::optional<Event> Protocol<role>::on_data(Opcode opcode, Bytes piece, std::size_t to_come, bool message_ends,
                                             OutputBuffer& output) {
    if (message_ends && !message_is_open()) {  // it lies in one piece: the view goes out as it is
        if (opcode == Opcode::text && !is_valid_utf8(piece)) return fail(Errc::invalid_utf8, output);
        return event_of(opcode, piece);
    }
    if (!message_is_open()) partial().message.emplace(opcode);
    auto& message = *partial_->message;
    // §8.1 doesn't say when to look. At once: a bad text is given up before its megabytes have come.
    if (!message.append(piece, to_come)) return fail(Errc::invalid_utf8, output);
    if (!message_ends) return std::nullopt;
    if (!message.may_end_here()) return fail(Errc::invalid_utf8, output);
    partial_->message_delivered = true;
    return event_of(message.opcode(), message.payload());
}

template <Role role>
std::optional<Event> Protocol<role>::on_control(Opcode opcode, Bytes piece, bool frame_ends, OutputBuffer& output) {
    const bool is_cut = partial_ && partial_->control;
    if (frame_ends && !is_cut) return on_whole_control(opcode, piece, output);
    if (!is_cut) partial().control.emplace();
    partial_->control->append(piece);
    if (!frame_ends) return std::nullopt;
    partial_->control_delivered = true;
    return on_whole_control(opcode, partial_->control->payload(), output);
}

template <Role role>
std::optional<Event> Protocol<role>::on_whole_control(Opcode opcode, Bytes payload, OutputBuffer& output) {
    if (opcode == Opcode::ping) {
        // §5.5.2: "an endpoint MUST send a Pong frame in response, unless it already received a Close frame".
        write_control(Opcode::pong, payload, output);
    } else if (opcode == Opcode::close) {
        if (const auto error = detail::check_close_payload(payload)) return fail(*error, output);
        close_received_ = true;
        close_code_ = Close::from_payload(payload).code;
        // §5.5.1: "the endpoint typically echos the status code it received".
        if (!close_sent_) write_close(close_code_, {}, output);
        state_ = Over{};
    }
    return event_of(opcode, payload);
}

/// §7.1.7: the Close frame says why, and what the peer sends is not looked at any more.
template <Role role>
std::optional<Event> Protocol<role>::fail(Errc error, OutputBuffer& output) {
    failed_ = true;
    if (!close_sent_) write_close(close_code_for(error), message_of(error), output);
    end();
    return Failed{error};
}

template <Role role>
void Protocol<role>::end() noexcept {
    partial_.reset();
    state_ = Over{};
}

template <Role role>
Result<void, Errc> Protocol<role>::close(CloseCode code, std::string_view reason, OutputBuffer& output) {
    if (!may_send()) return Unexpected{Errc::connection_closed};
    if (!may_be_sent(code)) return Unexpected{Errc::close_code_may_not_be_sent};
    if (reason.size() > max_close_reason) return Unexpected{Errc::payload_too_long_for_control};
    if (!is_valid_utf8(bytes_of(reason))) return Unexpected{Errc::invalid_utf8_in_close_reason};
    write_close(code, reason, output);
    return {};
}

template <Role role>
template <class M>
Result<void, Errc> Protocol<role>::send_message(const M& message, OutputBuffer& output) {
    // §5.5.1: "The application MUST NOT send any more data frames after sending a Close frame."
    if (!may_send()) return Unexpected{Errc::connection_closed};
    const std::size_t fragments = options_->fragment_size > 0 ? message.payload().size() / options_->fragment_size : 0;
    output.reserve(message.payload().size() + (fragments + 1) * max_frame_header);
    detail::for_each_fragment(M::opcode, message.payload(), options_->fragment_size,
                              [&](const FrameHeader& header, Bytes part) { write_frame(header, part, output); });
    return {};
}

template <Role role>
Result<void, Errc> Protocol<role>::send_control(Opcode opcode, Bytes payload, OutputBuffer& output) {
    if (!may_send()) return Unexpected{Errc::connection_closed};
    if (payload.size() > max_control_payload) return Unexpected{Errc::payload_too_long_for_control};
    write_control(opcode, payload, output);
    return {};
}

template <Role role>
void Protocol<role>::write_frame(FrameHeader header, Bytes payload, OutputBuffer& output) {
    header.masking_key = Rules::masking_key(*options_);
    header.size = header_size(header.payload_length, header.masking_key.has_value());
    append_frame(output, header, payload);
    if (options_->tap) options_->tap->on_frame(false, header);
}

template <Role role>
void Protocol<role>::write_control(Opcode opcode, Bytes payload, OutputBuffer& output) {
    FrameHeader header;
    header.opcode = opcode;
    header.payload_length = payload.size();
    write_frame(header, payload, output);
}

template <Role role>
void Protocol<role>::write_close(CloseCode code, std::string_view reason, OutputBuffer& output) {
    write_control(Opcode::close, ClosePayload{code, reason}.bytes(), output);
    close_sent_ = true;
    sent_close_code_ = code;
}

}  // namespace wsserver
