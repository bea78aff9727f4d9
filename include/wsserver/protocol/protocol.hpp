// RFC 6455 after the opening handshake, without I/O: bytes in, events out, bytes out.
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
#include "wsserver/base/memory_account.hpp"
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
#include "wsserver/protocol/message_frames.hpp"
#include "wsserver/protocol/reassembly.hpp"
#include "wsserver/protocol/rfc6455.hpp"

namespace wsserver {

/// Gives a client its masking keys.
class MaskingKeySource {
   public:
    /// Returns a new key, derived "from a strong source of entropy" (RFC 6455 §5.3).
    virtual MaskingKey next_key() noexcept = 0;

   protected:
    ~MaskingKeySource() = default;
};

/// The options of any number of connections. They may change between two calls of a Protocol and then apply from the
/// next frame on.
struct ProtocolOptions {
    std::size_t max_message = std::size_t{16} << 20;    ///< most bytes of a received message; over it: close code 1009
    std::size_t max_fragments = 131'072;                ///< most frames of one kept whole; over it: close code 1009
    std::size_t fragment_size = std::size_t{64} << 10;  ///< most bytes of payload in a sent data frame; 0: unlimited
    FrameTap* tap = nullptr;                            ///< optional
    MemoryAccount* memory = nullptr;                    ///< counts the payload of incomplete messages; optional
    MaskingKeySource* keys = nullptr;                   ///< required by a client, unused by a server
};

/// The peer broke a rule. The Close frame with the error's code and text is in the output, unless a Close frame was
/// sent before.
struct Failed {
    Errc error;  ///< a rule of the peer: reserved_bits_set to too_many_fragments
};

/// What the peer sent. Its views are valid until the next call of next_event() or receive_eof(), and at most as long as
/// the bytes passed to next_event().
using Event = std::variant<Text, Binary, Close, Ping, Pong, Failed, Part>;

/// The differences between the roles.
template <Role role>
struct RoleRules;

/// What a server does and expects of a client.
template <>
struct RoleRules<Role::server> {
    /// §5.1: "The server MUST close the connection upon receiving a frame that is not masked."
    static constexpr bool peer_masks = true;
    static constexpr Errc wrong_masking = Errc::frame_not_masked;  ///< the error for a frame that breaks this rule
    /// §5.1: "A server MUST NOT mask any frames that it sends to the client."
    static std::optional<MaskingKey> masking_key(const ProtocolOptions&) noexcept { return std::nullopt; }
    /// §7.1.1: the stream "SHOULD be closed first by the server", so that the server holds the TIME_WAIT state.
    static constexpr bool ends_stream = true;
};

/// What a client does and expects of a server.
template <>
struct RoleRules<Role::client> {
    /// §5.1: "A client MUST close a connection if it detects a masked frame."
    static constexpr bool peer_masks = false;
    static constexpr Errc wrong_masking = Errc::frame_masked;  ///< the error for a frame that breaks this rule
    /// §5.3: "a fresh masking key" for every frame.
    static std::optional<MaskingKey> masking_key(const ProtocolOptions& options) noexcept {
        assert(options.keys != nullptr);
        return options.keys->next_key();
    }
    /// §7.1.1: the client waits for the server to close.
    static constexpr bool ends_stream = false;
};

namespace detail {

/// Returns the rule that the payload of a Close frame breaks, if any (§5.5.1).
inline std::optional<Errc> check_close_payload(Bytes payload) noexcept {
    if (payload.empty()) return std::nullopt;
    // "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer"
    if (payload.size() == 1) return Errc::close_payload_of_one_byte;
    if (!may_be_sent(CloseCode{load_big_endian<std::uint16_t>(payload)})) return Errc::invalid_close_code;
    if (!is_valid_utf8(payload.subspan(2))) return Errc::invalid_utf8_in_close_reason;
    return std::nullopt;
}

}  // namespace detail

/// One endpoint of a connection, from the end of the opening handshake to the last frame.
///
///     // `bytes` as received, cut anywhere
///     while (auto event = protocol.next_event(bytes, output)) handle(*event);
///
/// next_event() writes the replies that the RFC requires (pongs, the response to a Close, the Close after a broken
/// rule) to `output`, in order with the frames that the application sends. An idle endpoint owns no other memory. It
/// allocates memory for an incomplete payload and for a growing `output`; calls that do so may throw std::bad_alloc.
/// An object may be used by one thread at a time.
template <Role role>
class Protocol {
   public:
    using Rules = RoleRules<role>;  ///< the differences to the other role

    /// `options` must outlive the Protocol.
    explicit Protocol(const ProtocolOptions& options) noexcept : options_(&options) {}

    /// Reads the next event and removes its bytes from the front of `received`. Unmasks payload in place.
    ///
    /// received  bytes in the order in which they arrived, cut anywhere; bytes that are left may be passed again later,
    ///           even at another address
    /// output    where replies are appended
    /// returns   nothing if more bytes are needed; `received` is empty then
    /// The last event is Close or Failed. All bytes after it are discarded; §1.4: "a peer discards any further data
    /// received".
    std::optional<Event> next_event(MutableBytes& received, OutputBuffer& output);

    /// From now on, the events of messages are their pieces as they arrive (Part), and no message is collected.
    /// Everything else is checked as before, a text up to its last complete character. Precondition: not
    /// is_within_message().
    void deliver_parts() noexcept { delivers_parts_ = true; }
    /// The last event was a Part that was lost, so the rest of its message is of no use: it is checked as before, but
    /// makes no events. Does nothing if that was the last part.
    void skip_message() noexcept {
        if (partial_ && partial_->passing) partial_->skipped = true;
    }

    /// Whether the rest of a message is better received into the message itself: it is large, and enough of the message
    /// has arrived to reserve memory for it.
    bool wants_buffer() const noexcept;
    /// Returns memory to receive into. next_event() and wants_buffer() must not be called before commit_buffer().
    /// Preconditions: wants_buffer(), and next_event() has read all bytes received before.
    ReceiveBuffer prepare_buffer();
    /// Takes the buffer back, of which the first `count` bytes were received. Returns these bytes, which must be the
    /// next ones for next_event(). Returns no bytes after receive_eof().
    MutableBytes commit_buffer(ReceiveBuffer buffer, std::size_t count) noexcept;

    /// The peer ended the stream: no more bytes arrive, and nothing may be sent.
    void receive_eof() noexcept { end(); }

    /// Sends a message. A message of more than fragment_size bytes is sent in fragments, which may split characters.
    /// `message` must be valid UTF-8 (§5.6) and outside `output`.
    /// Errors: connection_closed.
    Result<void, Errc> send(const Text& message, OutputBuffer& output) { return send_message(message, output); }
    /// Same for a binary message.
    Result<void, Errc> send(const Binary& message, OutputBuffer& output) { return send_message(message, output); }

    /// Takes the memory of a message and makes its frames around the payload, which a client masks in place (§5.3). The
    /// caller sends them in order with what is in `output`. Null if the memory was taken before. If it throws
    /// std::bad_alloc, nothing was taken. Errors: connection_closed. Precondition: message.has_memory().
    Result<std::shared_ptr<const MessageFrames>, Errc> take_frames(const AnyMessage& message);

    /// Sends a piece of a message, in one frame or, if it is longer than fragment_size, in several. Between its first
    /// and its last piece nothing but control frames may be sent (§5.4). All pieces of a text together must be valid
    /// UTF-8. An empty piece is a frame, too. `part.bytes` must be outside `output`. Errors: connection_closed.
    Result<void, Errc> send(const Part& part, OutputBuffer& output);

    /// Sends a ping (§5.5.2). Errors: connection_closed, payload_too_long_for_control (over 125 bytes).
    Result<void, Errc> ping(Bytes payload, OutputBuffer& output) { return send_control(Opcode::ping, payload, output); }
    /// Sends an unsolicited pong (§5.5.3). next_event() answers pings. Errors: those of ping().
    Result<void, Errc> pong(Bytes payload, OutputBuffer& output) { return send_control(Opcode::pong, payload, output); }

    /// Starts the closing handshake (§7.1.2). Messages are still received until the peer's Close arrives.
    ///
    /// code    a code for which may_be_sent() is true
    /// reason  UTF-8, at most 123 bytes
    /// Errors: connection_closed, close_code_may_not_be_sent, payload_too_long_for_control (a reason over 123 bytes),
    /// invalid_utf8_in_close_reason. After an error nothing is sent.
    Result<void, Errc> close(CloseCode code, std::string_view reason, OutputBuffer& output);

    /// Fails the connection for a reason of the caller (§7.1.7): sends a Close frame, unless one was sent, drops the
    /// incomplete message, and ignores all further bytes. Preconditions: those of close().
    void fail_connection(CloseCode code, std::string_view reason, OutputBuffer& output);

    /// Whether the first byte of a message's payload, or its complete header, has arrived, and its end has not.
    bool is_within_message() const noexcept;
    /// The payload of the incomplete message so far, in bytes.
    std::size_t held() const noexcept { return is_collecting() ? partial_->message->held() : 0; }
    /// Whether frames may be sent. If not, send(), ping(), pong() and close() return connection_closed.
    bool may_send() const noexcept { return !close_sent_ && !finished(); }
    /// Whether a Close frame was written to an `output`, by close() or by next_event().
    bool close_sent() const noexcept { return close_sent_; }
    /// Whether next_event() has returned the Close frame of the peer.
    bool close_received() const noexcept { return close_received_; }
    /// Whether the peer broke a rule.
    bool failed() const noexcept { return failed_; }
    /// Whether nothing more is received or sent: both Close frames passed, the connection failed or the stream ended.
    /// Then the server ends the stream, and the client waits for that (§7.1.1, Rules::ends_stream).
    bool finished() const noexcept { return std::holds_alternative<Finished>(state_); }

    /// §7.1.5: the code of the peer's Close frame; no_status if the frame had none, abnormal if there was no frame.
    CloseCode close_code() const noexcept { return close_code_; }
    /// Same for the Close frame that was sent.
    CloseCode sent_close_code() const noexcept { return sent_close_code_; }

   private:
    /// Between two frames, or in a header of which the first `size` bytes have arrived.
    struct ReadingHeader {
        std::array<std::uint8_t, max_frame_header> bytes;
        std::uint8_t size = 0;
    };
    /// The size of the shortest header of a frame from the peer.
    static constexpr std::size_t short_header = header_size(0, Rules::peer_masks);
    struct ReadingPayload {
        std::uint64_t remaining;
        MaskingKey key;
        std::uint8_t phase;
        Opcode opcode;
        bool fin;
    };
    struct Finished {};
    /// In bytes. For less, a copy is cheaper than a separate receive.
    static constexpr std::size_t min_direct_receive = std::size_t{64} << 10;

    std::size_t short_message(Bytes received) const noexcept;
    std::optional<Event> read_short_message(MutableBytes frame, OutputBuffer& output);
    static std::variant<FrameHeader, NeedMore, Errc> read_header(ReadingHeader& reading,
                                                                 MutableBytes& received) noexcept;
    std::optional<Errc> begin_frame(const FrameHeader& header);
    std::optional<Event> read_payload(ReadingPayload& frame, MutableBytes& received, OutputBuffer& output);
    std::optional<Event> on_data(Opcode opcode, Bytes piece, std::size_t remaining, bool message_ends,
                                 OutputBuffer& output);
    std::optional<Event> pass_on(Opcode opcode, Bytes piece, bool message_ends, OutputBuffer& output);
    std::optional<Event> on_control(Opcode opcode, Bytes piece, bool frame_ends, OutputBuffer& output);
    std::optional<Event> on_complete_control(Opcode opcode, Bytes payload, OutputBuffer& output);
    std::optional<Event> fail(Errc error, OutputBuffer& output);
    void end() noexcept;

    template <class M>
    Result<void, Errc> send_message(const M& message, OutputBuffer& output);
    Result<void, Errc> send_control(Opcode opcode, Bytes payload, OutputBuffer& output);
    void write_frame(FrameHeader header, Bytes payload, OutputBuffer& output);
    void write_control(Opcode opcode, Bytes payload, OutputBuffer& output);
    void write_close(CloseCode code, std::string_view reason, OutputBuffer& output);

    bool is_collecting() const noexcept { return partial_ && partial_->message; }
    MessageProgress* open_message() const noexcept { return partial_ ? partial_->open() : nullptr; }
    PartialPayloads& partial() {
        if (!partial_) partial_ = std::make_unique<PartialPayloads>();
        return *partial_;
    }
    void drop_delivered() noexcept {
        if (!partial_) return;
        partial_->drop_delivered();
        if (partial_->empty()) partial_.reset();
    }
    /// `holder` is that of a long message.
    static std::optional<Event> event_of(Opcode opcode, Bytes payload, MessageHolder* holder = nullptr) {
        std::optional<Event> event;
        with_message_type(opcode, [&]<class M>() {
            M& message = *std::get_if<M>(&event.emplace(std::in_place_type<M>, M::from_payload(payload)));
            if constexpr (requires { message.memory; }) message.memory = MessageMemory{holder};
        });
        return event;
    }

    const ProtocolOptions* options_;
    std::unique_ptr<PartialPayloads> partial_{};
    // The members after it use the bytes that the variant leaves free after its index.
    [[no_unique_address]] std::variant<ReadingHeader, ReadingPayload, Finished> state_{};
    bool close_sent_ : 1 = false;
    bool close_received_ : 1 = false;
    bool failed_ : 1 = false;
    bool delivers_parts_ : 1 = false;
    CloseCode close_code_ = CloseCode::abnormal;
    CloseCode sent_close_code_ = CloseCode::abnormal;
};

// A server has one for each idle connection.
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
    return frame && frame->remaining >= min_direct_receive && is_data(frame->opcode) && is_collecting() &&
           partial_->message->wants_buffer(static_cast<std::size_t>(frame->remaining));
}

template <Role role>
ReceiveBuffer Protocol<role>::prepare_buffer() {
    return partial_->message->prepare_buffer(static_cast<std::size_t>(std::get_if<ReadingPayload>(&state_)->remaining));
}

template <Role role>
MutableBytes Protocol<role>::commit_buffer(ReceiveBuffer buffer, std::size_t count) noexcept {
    if (!is_collecting()) return {};  // after receive_eof()
    const MutableBytes received = buffer.bytes().first(count);
    partial_->message->commit_buffer(std::move(buffer));
    return received;
}

/// Detects the most frequent case, which has its own fast path: a complete, unfragmented message with a length of seven
/// bits. Returns the size of its frame in bytes, or 0 for anything else, which takes the path that checks all rules.
template <Role role>
std::size_t Protocol<role>::short_message(Bytes received) const noexcept {
    const auto* reading = std::get_if<ReadingHeader>(&state_);
    if (!reading || reading->size > 0 || partial_ || options_->tap || received.size() < short_header) return 0;
    if (delivers_parts_) return 0;
    // FIN is set, and no RSV bit.
    const auto begins = [&](Opcode opcode) { return received[0] == (0x80 | static_cast<std::uint8_t>(opcode)); };
    if (!begins(Opcode::text) && !begins(Opcode::binary)) return 0;
    const std::size_t length = received[1] & 0x7F;
    if ((received[1] & 0x80) != (Rules::peer_masks ? 0x80 : 0) || length > 125) return 0;
    const bool fits = length <= options_->max_message && length <= received.size() - short_header;
    return fits ? short_header + length : 0;
}

/// Reads a frame that short_message() found. Constructs each event in the result: a variant that is copied right after
/// it was written makes the processor wait for the stores.
template <Role role>
std::optional<Event> Protocol<role>::read_short_message(MutableBytes frame, OutputBuffer& output) {
    const MutableBytes payload = frame.subspan(short_header);
    if constexpr (Rules::peer_masks) apply_mask(payload, MaskingKey{frame[2], frame[3], frame[4], frame[5]});
    if ((frame[0] & 0xF) == static_cast<std::uint8_t>(Opcode::binary)) return Binary::from_payload(payload);
    if (!is_valid_utf8(payload)) return fail(Errc::invalid_utf8, output);
    return Text::from_payload(payload);
}

/// Takes a complete header from `received`, or all bytes if the header is incomplete.
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

/// Checks the rules that depend on the role and on the previous frames. If they hold, the payload is read next.
template <Role role>
std::optional<Errc> Protocol<role>::begin_frame(const FrameHeader& header) {
    if (options_->tap) options_->tap->on_frame(true, header);
    // §5.2: RSV bits "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values".
    if (header.rsv != 0) return Errc::reserved_bits_set;
    if (header.masking_key.has_value() != Rules::peer_masks) return Rules::wrong_masking;

    if (is_data(header.opcode)) {
        // §5.4: a continuation continues the only open message. Another message may not begin before its end.
        const bool continues = header.opcode == Opcode::continuation;
        MessageProgress* const message = open_message();
        if (continues && message == nullptr) return Errc::unexpected_continuation;
        if (!continues && message != nullptr) return Errc::expected_continuation;
        const std::size_t received = continues ? message->size() : 0;
        if (received > options_->max_message || header.payload_length > options_->max_message - received) {
            return Errc::message_too_big;
        }
        if (continues && !delivers_parts_) {  // of parts nothing is kept that would grow
            message->count_fragment();
            if (message->fragments() > options_->max_fragments) return Errc::too_many_fragments;
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
    const auto remaining = static_cast<std::size_t>(frame.remaining);
    const bool frame_ends = frame.remaining == 0;
    if (frame_ends) state_ = ReadingHeader{};
    return is_control(opcode) ? on_control(opcode, piece, frame_ends, output)
                              : on_data(opcode, piece, remaining, frame_ends && fin, output);
}

template <Role role>
std::optional<Event> Protocol<role>::on_data(Opcode opcode, Bytes piece, std::size_t remaining, bool message_ends,
                                             OutputBuffer& output) {
    if (delivers_parts_) return pass_on(opcode, piece, message_ends, output);
    if (message_ends && !is_collecting()) {  // one piece: the event views it where it is
        if (opcode == Opcode::text && !is_valid_utf8(piece)) return fail(Errc::invalid_utf8, output);
        return event_of(opcode, piece);
    }
    if (!is_collecting()) partial().message.emplace(opcode, options_->memory);
    auto& message = *partial_->message;
    // §8.1 does not say when to check. Check each piece, so that an invalid text fails before all of it is received.
    if (!message.append(piece, remaining)) return fail(Errc::invalid_utf8, output);
    if (!message_ends) return std::nullopt;
    if (!message.may_end_here()) return fail(Errc::invalid_utf8, output);
    partial_->message_delivered = true;
    return event_of(message.opcode(), message.payload(), message.holder());
}

/// Makes a piece of a message an event, unless it is empty and the message goes on, or the message is skipped.
template <Role role>
std::optional<Event> Protocol<role>::pass_on(Opcode opcode, Bytes piece, bool message_ends, OutputBuffer& output) {
    MessageProgress* message = open_message();
    if (message == nullptr && message_ends) {
        if (opcode == Opcode::text && !is_valid_utf8(piece)) return fail(Errc::invalid_utf8, output);
        return Part{opcode, piece, true, true};
    }
    if (message == nullptr) message = &partial().passing.emplace(opcode);
    const Part part{message->opcode(), piece, message->size() == 0, message_ends};
    if (!message->pass(piece)) return fail(Errc::invalid_utf8, output);
    const bool is_event = !partial_->skipped && (message_ends || !piece.empty());
    if (message_ends) {
        if (!message->may_end_here()) return fail(Errc::invalid_utf8, output);
        partial_->passing.reset();
        partial_->skipped = false;
        if (partial_->empty()) partial_.reset();
    }
    return is_event ? std::optional<Event>{part} : std::nullopt;
}

template <Role role>
std::optional<Event> Protocol<role>::on_control(Opcode opcode, Bytes piece, bool frame_ends, OutputBuffer& output) {
    const bool is_partial = partial_ && partial_->control;
    if (frame_ends && !is_partial) return on_complete_control(opcode, piece, output);
    if (!is_partial) partial().control.emplace();
    partial_->control->append(piece);
    if (!frame_ends) return std::nullopt;
    partial_->control_delivered = true;
    return on_complete_control(opcode, partial_->control->payload(), output);
}

template <Role role>
std::optional<Event> Protocol<role>::on_complete_control(Opcode opcode, Bytes payload, OutputBuffer& output) {
    if (opcode == Opcode::ping) {
        // §5.5.2: "an endpoint MUST send a Pong frame in response, unless it already received a Close frame".
        write_control(Opcode::pong, payload, output);
    } else if (opcode == Opcode::close) {
        if (const auto error = detail::check_close_payload(payload)) return fail(*error, output);
        close_received_ = true;
        close_code_ = Close::from_payload(payload).code;
        // §5.5.1: "the endpoint typically echos the status code it received".
        if (!close_sent_) write_close(close_code_, {}, output);
        state_ = Finished{};
    }
    return event_of(opcode, payload);
}

/// §7.1.7: sends a Close frame with the reason, and ignores all further bytes from the peer.
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
    state_ = Finished{};
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
void Protocol<role>::fail_connection(CloseCode code, std::string_view reason, OutputBuffer& output) {
    if (may_send()) write_close(code, reason, output);
    end();
}

template <Role role>
bool Protocol<role>::is_within_message() const noexcept {
    if (open_message() != nullptr && !partial_->message_delivered) return true;
    const auto* frame = std::get_if<ReadingPayload>(&state_);
    return frame && is_data(frame->opcode);
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
Result<std::shared_ptr<const MessageFrames>, Errc> Protocol<role>::take_frames(const AnyMessage& message) {
    if (!may_send()) return Unexpected{Errc::connection_closed};
    return MessageFrames::take(message, options_->fragment_size, [this](FrameHeader& header, MutableBytes part) {
        header.masking_key = Rules::masking_key(*options_);
        header.size = header_size(header.payload_length, header.masking_key.has_value());
        if (header.masking_key) apply_mask(part, *header.masking_key);
        if (options_->tap) options_->tap->on_frame(false, header);
    });
}

template <Role role>
Result<void, Errc> Protocol<role>::send(const Part& part, OutputBuffer& output) {
    if (!may_send()) return Unexpected{Errc::connection_closed};
    const Opcode opcode = part.first ? part.opcode : Opcode::continuation;
    detail::for_each_fragment(opcode, part.bytes, options_->fragment_size, [&](FrameHeader header, Bytes bytes) {
        header.fin = header.fin && part.last;
        write_frame(header, bytes, output);
    });
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
