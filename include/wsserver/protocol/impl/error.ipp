// The texts and close codes of the errors.
#pragma once

#include "wsserver/protocol/error.hpp"

#include <string>

namespace wsserver {

std::string_view message_of(Errc error) noexcept {
    switch (error) {
        case Errc::reserved_bits_set:
            return "a reserved bit is set and no extension defines it";
        case Errc::reserved_opcode:
            return "the opcode is reserved";
        case Errc::control_frame_fragmented:
            return "a control frame must not be fragmented";
        case Errc::control_frame_too_long:
            return "a control frame must have at most 125 bytes of payload";
        case Errc::length_not_minimal:
            return "the payload length is not in its shortest form";
        case Errc::length_top_bit_set:
            return "the payload length has its most significant bit set";
        case Errc::frame_not_masked:
            return "a client must mask its frames";
        case Errc::frame_masked:
            return "a server must not mask its frames";
        case Errc::unexpected_continuation:
            return "a continuation frame without a message to continue";
        case Errc::expected_continuation:
            return "a new message began before the previous one was complete";
        case Errc::close_payload_of_one_byte:
            return "a Close frame must not have a payload of one byte";
        case Errc::invalid_close_code:
            return "the close code is invalid";
        case Errc::invalid_utf8:
            return "a text message is not valid UTF-8";
        case Errc::invalid_utf8_in_close_reason:
            return "a Close frame's reason is not valid UTF-8";
        case Errc::message_too_big:
            return "the message is too big";
        case Errc::too_many_fragments:
            return "the message has too many fragments";
        case Errc::message_timeout:
            return "the message did not end in time";

        case Errc::connection_closed:
            return "the connection is closed or closing";
        case Errc::payload_too_long_for_control:
            return "the payload is too long for a control frame";
        case Errc::close_code_may_not_be_sent:
            return "this close code may not be sent";

        case Errc::malformed_request:
            return "malformed HTTP request";
        case Errc::request_header_too_large:
            return "the request's header is too large";
        case Errc::too_many_fields:
            return "the request has too many header fields";
        case Errc::bad_method:
            return "the opening handshake must be a GET request";
        case Errc::bad_http_version:
            return "the opening handshake requires HTTP/1.1";
        case Errc::missing_host:
            return "the request must have one valid Host field";
        case Errc::not_an_upgrade:
            return "this is a WebSocket server: the Upgrade field must name websocket";
        case Errc::missing_connection_upgrade:
            return "the Connection field must name Upgrade";
        case Errc::missing_key:
            return "the Sec-WebSocket-Key field is missing";
        case Errc::bad_key:
            return "the Sec-WebSocket-Key field must be 16 bytes in base64";
        case Errc::unsupported_version:
            return "Sec-WebSocket-Version must be 13";
        case Errc::origin_forbidden:
            return "this origin is not allowed";
        case Errc::unknown_host:
            return "this server does not serve the host of the request";
        case Errc::no_such_path:
            return "no handler serves this path";
        case Errc::malformed_proxy_header:
            return "malformed header of the PROXY protocol";
        case Errc::untrusted_proxy:
            return "this peer may not send a header of the PROXY protocol";
        case Errc::refused_by_program:
            return "the program refused the client";
        case Errc::upgrade_undecided:
            return "the program did not decide about the request in time";
        case Errc::bad_body_length:
            return "where the body of the request ends is not clear";
        case Errc::unknown_transfer_coding:
            return "the transfer coding of the request is not supported";
        case Errc::unknown_expectation:
            return "the expectation of the request is not supported";
        case Errc::malformed_body:
            return "the body of the request is not in the chunked coding";
        case Errc::body_too_large:
            return "the body of the request is too large";
        case Errc::body_timeout:
            return "the body of the request took too long";
        case Errc::answer_timeout:
            return "the program did not answer the request in time";
        case Errc::request_with_payload:
            return "the opening handshake must not have a payload";
        case Errc::unknown_subprotocol:
            return "none of the offered subprotocols is supported";
        case Errc::handshake_timeout:
            return "the opening handshake took too long";
        case Errc::too_many_connections:
            return "too many connections";
        case Errc::memory_limit_reached:
            return "the server is short of memory";
        case Errc::too_many_new_connections:
            return "too many new connections a second";
        case Errc::too_many_from_address:
            return "too many connections from this address";
        case Errc::too_many_new_from_address:
            return "too many new connections a second from this address";
        case Errc::too_many_of_user:
            return "too many connections of this user";
        case Errc::too_many_new_of_user:
            return "too many new connections a second of this user";
        case Errc::bad_subprotocol:
            return "Sec-WebSocket-Protocol must be a list of distinct tokens";
        case Errc::bad_extensions:
            return "Sec-WebSocket-Extensions must be a list of extensions";

        case Errc::malformed_response:
            return "malformed HTTP response";
        case Errc::response_header_too_large:
            return "the response's header is too large";
        case Errc::unexpected_status:
            return "the server did not switch protocols";
        case Errc::missing_upgrade:
            return "the response's Upgrade field must be websocket";
        case Errc::missing_connection_upgrade_in_response:
            return "the response's Connection field must name Upgrade";
        case Errc::bad_accept:
            return "the response's Sec-WebSocket-Accept does not match the key";
        case Errc::unoffered_subprotocol:
            return "the server chose a subprotocol that was not offered";
        case Errc::unoffered_extension:
            return "the server chose an extension that was not offered";
    }
    return "unknown error";
}

CloseCode close_code_for(Errc error) noexcept {
    switch (error) {
        case Errc::invalid_utf8:
        case Errc::invalid_utf8_in_close_reason:
            return CloseCode::invalid_payload;
        case Errc::message_too_big:
        case Errc::too_many_fragments:
            return CloseCode::message_too_big;
        case Errc::message_timeout:
            return CloseCode::policy_violation;
        default:
            break;
    }
    return error >= Errc::reserved_bits_set && error <= Errc::invalid_close_code ? CloseCode::protocol_error
                                                                                 : CloseCode::abnormal;
}

const std::error_category& wsserver_category() noexcept {
    static const struct final : std::error_category {
        const char* name() const noexcept override { return "wsserver"; }
        std::string message(int value) const override { return std::string{message_of(static_cast<Errc>(value))}; }
    } category;
    return category;
}

std::error_code make_error_code(Errc error) noexcept { return {static_cast<int>(error), wsserver_category()}; }

}  // namespace wsserver
