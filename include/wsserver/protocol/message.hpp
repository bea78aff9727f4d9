// Messages and control frames as types, and the only place where an opcode at run time becomes a type.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <concepts>
#include <cstddef>
#include <functional>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/pooled_buffer.hpp"
#include "wsserver/protocol/rfc6455.hpp"

namespace wsserver {

/// The payload of one message and the memory that it is in.
struct OwnedPayload {
    PooledBuffer memory{};    ///< none if the payload was taken before
    MutableBytes bytes = {};  ///< the payload, in `memory`
};

/// What holds a received message.
class MessageHolder {
   public:
    /// Whether `part` is in the payload and at least half of it. Anything else is better copied: other bytes, or a few
    /// that would keep the memory of many.
    bool may_give(Bytes part) const noexcept {
        const Bytes whole = payload();
        const std::less_equal<> is_up_to;
        return !part.empty() && is_up_to(whole.data(), part.data()) &&
               is_up_to(part.data() + part.size(), whole.data() + whole.size()) && part.size() >= whole.size() / 2;
    }
    /// Gives its memory away, with `part` as the payload. The views of the message are not valid any more.
    /// Precondition: may_give(part).
    OwnedPayload give(Bytes part) noexcept {
        const auto offset = static_cast<std::size_t>(part.data() - payload().data());
        OwnedPayload given = take();
        given.bytes = given.bytes.subspan(offset, part.size());
        return given;
    }

   protected:
    ~MessageHolder() = default;

   private:
    /// Empty after take().
    virtual Bytes payload() const noexcept = 0;
    virtual OwnedPayload take() noexcept = 0;
};

/// Refers to what holds a received message. A copy refers to nothing, because a copy of a message is only a view: only
/// a message that is moved can be sent without copying its bytes.
class MessageMemory {
   public:
    constexpr MessageMemory() noexcept = default;  ///< refers to nothing
    /// Refers to `holder`, which must live as long as the views of its message are valid.
    constexpr explicit MessageMemory(MessageHolder* holder) noexcept : holder_(holder) {}
    constexpr MessageMemory(const MessageMemory&) noexcept {}  ///< refers to nothing
    /// `other` refers to nothing then.
    constexpr MessageMemory(MessageMemory&& other) noexcept : holder_(std::exchange(other.holder_, nullptr)) {}
    /// Refers to what `other` refers to if that is moved, otherwise to nothing.
    constexpr MessageMemory& operator=(MessageMemory other) noexcept {
        holder_ = std::exchange(other.holder_, nullptr);
        is_offered_ = false;
        return *this;
    }
    ~MessageMemory() = default;

    /// For the library, which passes a message to a handler as an rvalue: only a parameter that takes it by value, and
    /// so is moved from this one, refers to the holder. One that makes an AnyMessage of it does not: the handler has
    /// not moved anything, and may send that AnyMessage several times.
    constexpr void offer() noexcept { is_offered_ = true; }
    /// Null: nothing, or the memory is offered.
    constexpr MessageHolder* holder() const noexcept { return is_offered_ ? nullptr : holder_; }

   private:
    MessageHolder* holder_ = nullptr;
    bool is_offered_ = false;
};

// All of these types are views. A received one is valid until the handler returns, or until the message is moved to a
// sender: then its copies and all other views of its bytes end, too.

/// A complete text message. A received one is valid UTF-8 (RFC 6455 §5.6).
struct Text {
    static constexpr Opcode opcode = Opcode::text;  ///< of its frames; MessageType and with_message_type() use it
    std::string_view text;                          ///< may contain zero bytes and may be empty
    /// What is known to be valid UTF-8. The library sets it to `text` in messages that it has received. If both are the
    /// same view, the text is not checked again when it is sent.
    std::string_view checked = {};
    MessageMemory memory = {};  ///< set by the library in long messages that it has received

    /// The text as bytes. Valid as long as `text`.
    Bytes payload() const noexcept { return bytes_of(text); }
    /// Whether `text` is known to be valid UTF-8.
    bool is_checked() const noexcept { return text.data() == checked.data() && text.size() == checked.size(); }
    /// A view of `payload`, which must be valid UTF-8: it is not checked when it is sent. Copies nothing.
    static Text from_payload(Bytes payload) noexcept { return {text_of(payload), text_of(payload)}; }
};

/// A complete binary message (§5.6).
struct Binary {
    static constexpr Opcode opcode = Opcode::binary;  ///< of its frames; MessageType and with_message_type() use it
    Bytes bytes;                                      ///< may be empty
    MessageMemory memory = {};                        ///< set by the library in long messages that it has received

    /// Same as `bytes`.
    Bytes payload() const noexcept { return bytes; }
    /// A view of `payload`. Copies nothing.
    static Binary from_payload(Bytes payload) noexcept { return {payload}; }
};

/// A piece of a text or binary message, in order (§5.4), for messages that are too long to be kept whole. Its borders
/// are those of frames and receives, so a character may be cut. All pieces of a text together are valid UTF-8; a
/// received one is valid up to the last complete character.
struct Part {
    Opcode opcode;       ///< of the message: text or binary
    Bytes bytes;         ///< empty only in the last piece
    bool first = false;  ///< the message begins here
    bool last = false;   ///< the message ends here; a short message is one piece, which is both
};

/// The peer's Close frame (§5.5.1). `code` is no_status if its payload was empty.
struct Close {
    static constexpr Opcode opcode = Opcode::close;  ///< of its frame
    CloseCode code = CloseCode::no_status;           ///< any code for which may_be_sent() is true, or no_status
    std::string_view reason = {};                    ///< UTF-8, at most 123 bytes; empty without a code

    /// Precondition: `payload` is empty or has at least the two bytes of the code.
    static Close from_payload(Bytes payload) noexcept {
        if (payload.empty()) return {};
        return {CloseCode{load_big_endian<std::uint16_t>(payload)}, text_of(payload.subspan(2))};
    }
};

/// A Ping frame (§5.5.2), at most 125 bytes. The protocol has already queued the pong.
struct Ping {
    static constexpr Opcode opcode = Opcode::ping;  ///< of its frame
    Bytes payload = {};                             ///< what the pong must repeat; may be empty

    /// A view of `payload`. Copies nothing.
    static Ping from_payload(Bytes payload) noexcept { return {payload}; }
};

/// A Pong frame (§5.5.3), at most 125 bytes. It may be unsolicited.
struct Pong {
    static constexpr Opcode opcode = Opcode::pong;  ///< of its frame
    Bytes payload = {};                             ///< that of the ping that it answers, or anything if unsolicited

    /// A view of `payload`. Copies nothing.
    static Pong from_payload(Bytes payload) noexcept { return {payload}; }
};

/// A list of types.
template <class... Types>
struct TypeList {};

/// All types of frames that have their own opcode. A new type needs only to be added here.
using MessageTypes = TypeList<Text, Binary, Close, Ping, Pong>;

namespace detail {

template <Opcode opcode, class... Types>
constexpr auto type_for(TypeList<Types...>) {
    return std::tuple_cat(std::conditional_t<Types::opcode == opcode, std::tuple<Types>, std::tuple<>>{}...);
}

template <class... Types>
std::variant<Types...> variant_of(TypeList<Types...>);

template <class F, class... Types>
constexpr bool with_type_of(Opcode opcode, F&& f, TypeList<Types...>) {
    return ((Types::opcode == opcode && (f.template operator()<Types>(), true)) || ...);
}

template <class T>
concept Characters = std::convertible_to<const T&, std::string_view>;
template <class T>
concept StdBytes = std::convertible_to<const T&, std::span<const std::byte>>;
template <class T>
concept UnsignedBytes = std::convertible_to<const T&, Bytes>;

}  // namespace detail

/// A message to send: text or binary. It is the parameter of send(), so that a literal, a std::string, a vector of
/// bytes, a Text or a Binary can be passed. It is a view of that argument, so do not keep it longer than the call.
///
/// A received message that is moved into it is empty afterwards, whatever the result of the call. If it is long, its
/// memory is sent, and its bytes are not copied: those that it views, if they are at least half of what was received.
/// All other views of the message end with the call. Such an AnyMessage can be sent once; then it is empty and
/// `refused`.
class AnyMessage {
   public:
    /// The text message.
    AnyMessage(const Text& message) noexcept
        : payload_(message.payload()), opcode_(Text::opcode), checked_(message.is_checked()) {}
    /// The binary message.
    AnyMessage(const Binary& message) noexcept : payload_(message.payload()), opcode_(Binary::opcode), checked_(true) {}
    /// The text message, and its memory if it was received. `message` is empty then.
    AnyMessage(Text&& message) noexcept : AnyMessage(std::as_const(message)) { move_from(message); }
    /// The binary message, and its memory if it was received. `message` is empty then.
    AnyMessage(Binary&& message) noexcept : AnyMessage(std::as_const(message)) { move_from(message); }
    AnyMessage(std::nullptr_t) = delete;  ///< no text
    /// A text message of any text: a literal, an array of char or `const char*` (not null), each up to its first zero
    /// byte, std::string, std::string_view.
    template <detail::Characters T>
    AnyMessage(const T& text) : AnyMessage(Text{std::string_view(text)}) {}
    /// A binary message of adjacent bytes: a vector, array or span of std::byte.
    template <detail::StdBytes T>
    AnyMessage(const T& bytes) : AnyMessage(Binary{from_std_bytes(std::span<const std::byte>(bytes))}) {}
    /// A binary message of adjacent bytes: Bytes, and a vector, array or span of std::uint8_t.
    template <detail::UnsignedBytes T>
    AnyMessage(const T& bytes) : AnyMessage(Binary{Bytes(bytes)}) {}

    /// Opcode::text or Opcode::binary.
    Opcode opcode() const noexcept { return opcode_; }
    /// True for text, false for binary.
    bool is_text() const noexcept { return opcode_ == Opcode::text; }
    /// The text or the bytes. Empty after take().
    Bytes payload() const noexcept { return payload_; }
    /// True if the message is binary, or a text that is known to be valid UTF-8.
    bool is_checked() const noexcept { return checked_; }
    /// Whether it was moved, and the payload may be sent from the memory that it is in.
    bool has_memory() const noexcept { return memory_.holder() != nullptr; }
    /// Whether take() was called: there is nothing left to send.
    bool is_taken() const noexcept { return has_memory() && payload_.empty(); }
    /// Takes this memory: payload() as it is now. No memory the second time. Precondition: has_memory().
    OwnedPayload take() const noexcept {
        if (is_taken()) return {};
        return memory_.holder()->give(std::exchange(payload_, Bytes{}));
    }
    /// Calls `f` with the Text or the Binary, and returns its result.
    template <class F>
    decltype(auto) visit(F&& f) const {
        if (is_text()) return std::forward<F>(f)(Text{text_of(payload_)});
        return std::forward<F>(f)(Binary{payload_});
    }

   private:
    static Bytes from_std_bytes(std::span<const std::byte> bytes) noexcept {
        return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
    }
    /// Empties `message`. Keeps its memory if that holds what it views: the program may have changed the view.
    template <class M>
    void move_from(M& message) noexcept {
        MessageHolder* const holder = message.memory.holder();
        if (holder != nullptr && holder->may_give(payload_)) memory_ = std::move(message.memory);
        message = M{};
    }

    mutable Bytes payload_;  ///< empty once it is taken
    Opcode opcode_;
    bool checked_;
    MessageMemory memory_{};
};

/// Maps an opcode to its type at compile time: MessageType<Opcode::text>::type is Text.
template <Opcode opcode>
struct MessageType {
    /// Does not compile for `continuation` and reserved opcodes, which have no type.
    using type = std::tuple_element_t<0, decltype(detail::type_for<opcode>(MessageTypes{}))>;
};

/// Any of the types.
using Message = decltype(detail::variant_of(MessageTypes{}));

/// Maps an opcode to its type at run time: calls `f.template operator()<Type>()` with the type of that opcode.
/// Returns false and does not call `f` for `continuation` and reserved opcodes, which have no type.
template <class F>
constexpr bool with_message_type(Opcode opcode, F&& f) {
    return detail::with_type_of(opcode, std::forward<F>(f), MessageTypes{});
}

/// Combines lambdas into one visitor: std::visit(overloaded{[](const Text&) {...}, ...}, message).
template <class... Fs>
struct overloaded : Fs... {
    using Fs::operator()...;
};
/// Deduces the types of the lambdas.
template <class... Fs>
overloaded(Fs...) -> overloaded<Fs...>;

}  // namespace wsserver
