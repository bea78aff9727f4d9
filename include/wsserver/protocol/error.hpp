// What can go wrong, one value for each rule, and what the peer is told about it.
#pragma once

#include <cstdint>
#include <string_view>
#include <system_error>

#include "wsserver/protocol/rfc6455.hpp"

namespace wsserver {

enum class Errc : std::uint8_t {
    // What a peer does wrong after the opening handshake. Each fails the connection (RFC 6455 §7.1.7).
    reserved_bits_set = 1,         ///< §5.2: RSV1, RSV2 or RSV3 without an extension that defines it
    reserved_opcode,               ///< §5.2: opcodes 3 to 7 and 11 to 15
    control_frame_fragmented,      ///< §5.5: a control frame without FIN
    control_frame_too_long,        ///< §5.5: a control frame of more than 125 bytes of payload
    length_not_minimal,            ///< §5.2: "the minimal number of bytes MUST be used to encode the length"
    length_top_bit_set,            ///< §5.2: "the most significant bit MUST be 0"
    frame_not_masked,              ///< §5.1: from a client
    frame_masked,                  ///< §5.1: from a server
    unexpected_continuation,       ///< §5.4: nothing to continue
    expected_continuation,         ///< §5.4: a new message inside an unfinished one
    close_payload_of_one_byte,     ///< §5.5.1: half a close code
    invalid_close_code,            ///< §7.4: a code that may not be sent
    invalid_utf8,                  ///< §8.1: in a text message
    invalid_utf8_in_close_reason,  ///< §8.1, §5.5.1
    message_too_big,               ///< §10.4: over max_message
    too_many_fragments,            ///< §10.4: over max_fragments

    // What our caller does wrong: nothing is sent.
    connection_closed,             ///< §5.5.1: no frame after the Close frame
    payload_too_long_for_control,  ///< §5.5: 125 bytes, for a reason 123
    close_code_may_not_be_sent,    ///< §7.4

    // A client's opening handshake that the server refuses (§4.2).
    malformed_request,
    request_header_too_large,
    too_many_fields,
    bad_method,
    bad_http_version,
    missing_host,
    not_an_upgrade,
    missing_connection_upgrade,
    missing_key,
    bad_key,
    unsupported_version,
    origin_forbidden,
    request_with_payload,
    unknown_subprotocol,
    handshake_timeout,
    too_many_connections,
    bad_subprotocol,
    bad_extensions,

    // A server's answer to the opening handshake that the client refuses (§4.1).
    malformed_response,
    response_header_too_large,
    unexpected_status,
    missing_upgrade,
    missing_connection_upgrade_in_response,
    bad_accept,
    unoffered_subprotocol,
    unoffered_extension,
};

/// One line without a full stop, for logs and Close reasons; at most 123 bytes of ASCII. Lives for ever.
std::string_view message_of(Errc error) noexcept;

/// What the Close frame says that fails the connection. `abnormal` where no Close frame is sent: for errors of
/// the opening handshake and for our caller's.
CloseCode close_code_for(Errc error) noexcept;

const std::error_category& wsserver_category() noexcept;

std::error_code make_error_code(Errc error) noexcept;

}  // namespace wsserver

template <>
struct std::is_error_code_enum<wsserver::Errc> : std::true_type {};
