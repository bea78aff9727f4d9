// The errors, one value for each rule, with their texts and close codes.
#pragma once

#include <cstdint>
#include <string_view>
#include <system_error>

#include "wsserver/protocol/rfc6455.hpp"

namespace wsserver {

/// One value for each rule that a peer or a caller can break.
enum class Errc : std::uint8_t {
    // The peer breaks a rule after the opening handshake. Each of these fails the connection (RFC 6455 §7.1.7).
    reserved_bits_set = 1,         ///< §5.2: RSV1, RSV2 or RSV3 without an extension that defines it
    reserved_opcode,               ///< §5.2: opcodes 3 to 7 and 11 to 15
    control_frame_fragmented,      ///< §5.5: a control frame without FIN
    control_frame_too_long,        ///< §5.5: a control frame with more than 125 bytes of payload
    length_not_minimal,            ///< §5.2: "the minimal number of bytes MUST be used to encode the length"
    length_top_bit_set,            ///< §5.2: "the most significant bit MUST be 0"
    frame_not_masked,              ///< §5.1: an unmasked frame from a client
    frame_masked,                  ///< §5.1: a masked frame from a server
    unexpected_continuation,       ///< §5.4: a continuation without a message to continue
    expected_continuation,         ///< §5.4: a new message before the previous one is complete
    close_payload_of_one_byte,     ///< §5.5.1: a Close frame with half a close code
    invalid_close_code,            ///< §7.4: a Close frame with a code that may not be sent
    invalid_utf8,                  ///< §8.1: a text message that is not UTF-8
    invalid_utf8_in_close_reason,  ///< §8.1, §5.5.1: a reason that is not UTF-8
    message_too_big,               ///< §10.4: a message over max_message
    too_many_fragments,            ///< §10.4: a message over max_fragments
    message_timeout,               ///< a message that did not end in time

    // The caller makes a mistake. Nothing is sent.
    connection_closed,             ///< §5.5.1: a frame after the Close frame
    payload_too_long_for_control,  ///< §5.5: a payload over 125 bytes, or a reason over 123
    close_code_may_not_be_sent,    ///< §7.4

    // The server refuses the client's opening handshake (§4.2).
    malformed_request,           ///< RFC 9112: a header that is not HTTP
    request_header_too_large,    ///< over HandshakeLimits::max_header
    too_many_fields,             ///< over HandshakeLimits::max_fields
    bad_method,                  ///< §4.2.1 (1): not a GET
    bad_http_version,            ///< §4.2.1 (1): not HTTP/1.1 or a later 1.x
    missing_host,                ///< §4.2.1 (2): no valid Host field, or several
    not_an_upgrade,              ///< §4.2.1 (3): no Upgrade field that names websocket
    missing_connection_upgrade,  ///< §4.2.1 (4): no Connection field that names Upgrade
    missing_key,                 ///< §4.2.1 (5): no Sec-WebSocket-Key
    bad_key,                     ///< §4.2.1 (5): not 16 bytes in base64
    unsupported_version,         ///< §4.2.1 (6): Sec-WebSocket-Version is not 13
    origin_forbidden,            ///< §10.2: see check_offer() in handshake/origin.hpp
    request_with_payload,        ///< a handshake with a body
    unknown_subprotocol,         ///< §4.2.2 (5): no handler for any subprotocol of the offer
    handshake_timeout,           ///< the request was not complete in time
    too_many_connections,        ///< over the limit of the server
    memory_limit_reached,        ///< all connections together hold too much memory
    too_many_new_connections,    ///< over the limit of the server for a second
    too_many_from_address,       ///< over the limit of connections for its address
    too_many_new_from_address,   ///< over the limit of new connections in a second for its address
    too_many_of_user,            ///< over the limit of connections for its user
    too_many_new_of_user,        ///< over the limit of new connections in a second for its user
    bad_subprotocol,             ///< §4.1 (10): not a list of distinct tokens
    bad_extensions,              ///< §9.1: not a list of extensions
    refused_by_program,          ///< on_upgrade() decided so
    upgrade_undecided,           ///< on_upgrade() did not decide in time
    unknown_host,                ///< RFC 9110 §7.4: the Host is not a name of the server; see check_offer()
    no_such_path,                ///< §4.2.2 (4): no handler serves the path of the request
    malformed_proxy_header,      ///< not a header of the PROXY protocol, where one is required
    untrusted_proxy,             ///< a peer that may not send such a header

    // The server refuses a plain HTTP request.
    bad_body_length,          ///< RFC 9112 §6: where the body ends is not clear
    unknown_transfer_coding,  ///< RFC 9112 §6.1: not only chunked
    unknown_expectation,      ///< RFC 9110 §10.1.1: not 100-continue
    malformed_body,           ///< RFC 9112 §7.1: not the chunked coding
    body_too_large,           ///< over the limit of its route
    body_timeout,             ///< the body did not arrive in time
    answer_timeout,           ///< the program did not answer in time

    // The client refuses the server's response to the opening handshake (§4.1).
    malformed_response,                      ///< RFC 9112: not HTTP/1.1, or incomplete
    response_header_too_large,               ///< over HandshakeLimits
    unexpected_status,                       ///< §4.1 (1): not 101
    missing_upgrade,                         ///< §4.1 (2): the Upgrade field is not websocket
    missing_connection_upgrade_in_response,  ///< §4.1 (3): the Connection field does not name Upgrade
    bad_accept,                              ///< §4.1 (4): Sec-WebSocket-Accept does not match the key
    unoffered_subprotocol,                   ///< §4.1 (6): a subprotocol that the client did not offer
    unoffered_extension,                     ///< §4.1 (5): an extension that the client did not offer
};

/// One line of text without a full stop, for logs and Close reasons: at most 123 bytes of ASCII. The result is valid
/// forever.
std::string_view message_of(Errc error) noexcept;

/// The close code with which the error fails the connection. `abnormal` for errors of the opening handshake and of the
/// caller, which send no Close frame.
CloseCode close_code_for(Errc error) noexcept;

/// The category of `Errc`. Its name is "wsserver".
const std::error_category& wsserver_category() noexcept;

/// Converts an `Errc` to a std::error_code. The standard library finds it by its name.
std::error_code make_error_code(Errc error) noexcept;

}  // namespace wsserver

/// Lets an `Errc` convert to a std::error_code implicitly.
template <>
struct std::is_error_code_enum<wsserver::Errc> : std::true_type {};
