#include <cstring>

#include "support/catch.hpp"
#include "support/http.hpp"
#include "wsserver/handshake/handshake.hpp"
#include "wsserver/handshake/origin.hpp"

using namespace wsserver;
using namespace wsserver::test;

namespace {

using Verdict = ClientHandshake::Verdict;

/// A request with the key of RFC 6455's example.
ClientRequest example_request() {
    ClientRequest request;
    request.host = "server.example.com";
    request.target = "/chat";
    std::memcpy(request.nonce.data(), "the sample nonce", 16);
    return request;
}

Fields good_fields() {
    return {
        {"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}};
}

std::string answer_with(const Fields& fields, std::string_view first_line = "HTTP/1.1 101 Switching Protocols") {
    return message_with(first_line, fields);
}

Verdict receive(std::string_view text, ClientRequest request = example_request(), HandshakeLimits limits = {}) {
    ClientHandshake handshake{std::move(request), limits};
    return handshake.receive(bytes_of(text));
}

ClientHandshake::Accepted accepted(std::string_view text, ClientRequest request = example_request()) {
    auto verdict = receive(text, std::move(request));
    if (const auto* rejected = std::get_if<ClientHandshake::Rejected>(&verdict)) FAIL(rejected->text);
    REQUIRE(std::holds_alternative<ClientHandshake::Accepted>(verdict));
    return std::get<ClientHandshake::Accepted>(std::move(verdict));
}

ClientHandshake::Rejected rejected(std::string_view text, Errc error, ClientRequest request = example_request()) {
    CAPTURE(text);
    auto verdict = receive(text, std::move(request));
    REQUIRE(std::holds_alternative<ClientHandshake::Rejected>(verdict));
    auto rejection = std::get<ClientHandshake::Rejected>(std::move(verdict));
    CHECK(rejection.error == error);
    CHECK(rejection.text.starts_with(message_of(error)));
    CHECK(rejection.text.find_first_of("\r\n") == std::string::npos);
    return rejection;
}

/// The rejection if the stream ends after `text`.
ClientHandshake::Rejected cut_off(std::string_view text) {
    ClientHandshake handshake{example_request()};
    if (!text.empty()) REQUIRE(std::holds_alternative<ClientHandshake::NeedMore>(handshake.receive(bytes_of(text))));
    return handshake.receive_eof();
}

}  // namespace

TEST_CASE("the request matches the RFC's example", "[handshake][rfc6455-1.2]") {
    auto request = example_request();
    request.origin = "http://example.com";
    request.subprotocols = {"chat", "superchat"};
    request.fields = {{"Authorization", "Bearer x"}, {"Cookie", "a=b"}};
    CHECK(ClientHandshake{request}.request() ==
          "GET /chat HTTP/1.1\r\n"
          "Host: server.example.com\r\n"
          "Upgrade: websocket\r\n"
          "Connection: Upgrade\r\n"
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
          "Sec-WebSocket-Version: 13\r\n"
          "Origin: http://example.com\r\n"
          "Sec-WebSocket-Protocol: chat, superchat\r\n"
          "Authorization: Bearer x\r\n"
          "Cookie: a=b\r\n"
          "\r\n");
}

TEST_CASE("check_request refuses an invalid request", "[handshake][rfc6455-4.1]") {
    const auto problem_with = [](auto change) {
        auto request = example_request();
        change(request);
        const auto checked = check_request(request);
        return checked ? std::string{} : checked.error();
    };
    CHECK(problem_with([](ClientRequest&) {}).empty());
    SECTION("hosts") {
        for (const char* host : {"", "a b", "a/b", "a\r\nX: y", "u@a"}) {
            CHECK_FALSE(problem_with([&](auto& request) { request.host = host; }).empty());
        }
        CHECK(problem_with([](auto& request) { request.host = "[::1]:8080"; }).empty());
    }
    SECTION("targets") {
        for (const char* target : {"", "chat", "/a b", "/a#b", "/a\r\nX: y", "/\xC3\xA9", "*"}) {
            CHECK_FALSE(problem_with([&](auto& request) { request.target = target; }).empty());
        }
    }
    SECTION("subprotocols") {
        const auto named = [&](std::vector<std::string> names) {
            return problem_with([&](auto& request) { request.subprotocols = names; });
        };
        CHECK(named({"a", "b"}).empty());
        CHECK(named({"a", "b", "a"}) == "the subprotocol a is named twice");
        for (const char* name : {"", "a b", "a,b", "a\r\n", "\xC3\xA9"}) CHECK_FALSE(named({name}).empty());
    }
    SECTION("fields") {
        const auto field = [&](std::string name, std::string value) {
            return problem_with([&](auto& request) { request.fields = {{name, value}}; });
        };
        CHECK(field("X-A", "b \t\xC3\xA9").empty());
        CHECK(field("X-A", "").empty());
        for (const char* name : {"Host", "upgrade", "CONNECTION", "Sec-WebSocket-Key", "sec-websocket-extensions",
                                 "Content-Length", "Transfer-Encoding", "Origin"}) {
            CAPTURE(name);
            CHECK(field(name, "x").find("itself") != std::string::npos);
        }
        for (const char* name : {"", "A B", "A:", "A\r\nB"}) CHECK_FALSE(field(name, "x").empty());
        for (int c = 0; c < 256; ++c) {
            const bool is_control = (c < 0x20 && c != '\t') || c == 0x7F;
            CAPTURE(c);
            CHECK(field("A", std::string{"b"} + static_cast<char>(c)).empty() != is_control);
        }
    }
    SECTION("an origin") {
        CHECK_FALSE(problem_with([](auto& request) { request.origin = "http://a\r\nX: y"; }).empty());
    }
}

TEST_CASE("the RFC's response is accepted wherever it is cut", "[handshake][rfc6455-1.3]") {
    auto request = example_request();
    request.subprotocols = {"chat", "superchat"};
    const auto text = answer_with(with(good_fields(), "Sec-WebSocket-Protocol", "superchat"));
    const std::string frames{"\x81\x05Hello", 7};
    for (std::size_t cut = 0; cut < text.size(); ++cut) {
        CAPTURE(cut);
        ClientHandshake handshake{request};
        const auto packet = text + frames;
        REQUIRE(std::holds_alternative<ClientHandshake::NeedMore>(handshake.receive(bytes_of(packet).first(cut))));
        const auto verdict = handshake.receive(bytes_of(packet).subspan(cut));
        REQUIRE(std::holds_alternative<ClientHandshake::Accepted>(verdict));
        CHECK(std::get<ClientHandshake::Accepted>(verdict).subprotocol == "superchat");
        CHECK(text_of(bytes_of(packet).subspan(cut + handshake.consumed())) == frames);
    }
}

TEST_CASE("the names in a response are read without regard to case", "[handshake][rfc6455-4.1]") {
    const auto answer = accepted(answer_with({{"UPGRADE", "WebSocket"},
                                              {"connection", "keep-alive, UPGRADE"},
                                              {"sec-websocket-accept", " s3pPLMBiTxaQ9kYGzzhZRbK+xOo= "},
                                              {"Server", "x"}},
                                             "HTTP/1.1 101 "));
    CHECK(answer.subprotocol.empty());
    CHECK(answer.response.status == 101);
    CHECK(answer.response.find("server") == "x");
}

TEST_CASE("a response without a required field, or with an invalid one, is rejected", "[handshake][rfc6455-4.1]") {
    const auto all = good_fields();
    SECTION("Upgrade") {
        rejected(answer_with(without(all, "Upgrade")), Errc::missing_upgrade);
        rejected(answer_with(replaced(all, "Upgrade", "h2c")), Errc::missing_upgrade);
        rejected(answer_with(replaced(all, "Upgrade", "websocket, h2c")), Errc::missing_upgrade);
        rejected(answer_with(with(all, "Upgrade", "h2c")), Errc::missing_upgrade);
    }
    SECTION("Connection") {
        const auto error = Errc::missing_connection_upgrade_in_response;
        rejected(answer_with(without(all, "Connection")), error);
        rejected(answer_with(replaced(all, "Connection", "close")), error);
    }
    SECTION("Sec-WebSocket-Accept") {
        rejected(answer_with(without(all, "Sec-WebSocket-Accept")), Errc::bad_accept);
        rejected(answer_with(with(all, "Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")), Errc::bad_accept);
        for (const char* accept : {"", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo", "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
                                   "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=="}) {
            rejected(answer_with(replaced(all, "Sec-WebSocket-Accept", accept)), Errc::bad_accept);
        }
    }
    SECTION("a subprotocol that was not offered") {
        auto request = example_request();
        request.subprotocols = {"chat", "superchat"};
        for (const char* chosen : {"Chat", "foo", "", "chat, superchat"}) {
            rejected(answer_with(with(all, "Sec-WebSocket-Protocol", chosen)), Errc::unoffered_subprotocol, request);
        }
        const auto twice = with(with(all, "Sec-WebSocket-Protocol", "chat"), "Sec-WebSocket-Protocol", "superchat");
        rejected(answer_with(twice), Errc::unoffered_subprotocol, request);
        rejected(answer_with(with(all, "Sec-WebSocket-Protocol", "chat")), Errc::unoffered_subprotocol);
    }
    SECTION("an extension that was not offered") {
        rejected(answer_with(with(all, "Sec-WebSocket-Extensions", "permessage-deflate")), Errc::unoffered_extension);
        accepted(answer_with(with(all, "Sec-WebSocket-Extensions", "")));
    }
}

TEST_CASE("a response that is not HTTP/1.1 is rejected", "[handshake]") {
    rejected("SSH-2.0-OpenSSH_9.2\r\n\r\n", Errc::malformed_response);
    rejected("\r\n" + answer_with(good_fields()), Errc::malformed_response);
    rejected("HTTP/1.1 101\r\n\r\n", Errc::malformed_response);
    rejected("HTTP/1.1 1x1 Switching\r\n\r\n", Errc::malformed_response);
    rejected("HTTP/1.1 101 Switching Protocols\n\n", Errc::malformed_response);
    rejected("HTTP/1.1 101 Switching\r\nA: b\r\n c\r\n\r\n", Errc::malformed_response);
    rejected("HTTP/1.1 101 Switching\r\nA : b\r\n\r\n", Errc::malformed_response);
    rejected("HTTP/2.0 101 Switching\r\n\r\n", Errc::malformed_response);
    CHECK(rejected(answer_with(good_fields(), "HTTP/1.0 101 Switching Protocols"), Errc::malformed_response)
              .response.status == 101);
}

TEST_CASE("a response over the limits is rejected", "[handshake]") {
    const auto text = answer_with(good_fields());
    CHECK(std::holds_alternative<ClientHandshake::Accepted>(receive(text, example_request(), {text.size(), 3})));
    for (const HandshakeLimits limits : {HandshakeLimits{text.size() - 1, 3}, HandshakeLimits{text.size(), 2}}) {
        const auto verdict = receive(text, example_request(), limits);
        REQUIRE(std::holds_alternative<ClientHandshake::Rejected>(verdict));
        CHECK(std::get<ClientHandshake::Rejected>(verdict).error == Errc::response_header_too_large);
    }
}

TEST_CASE("interim responses are skipped, and their bytes count towards the limit", "[handshake][rfc9110-15.2]") {
    const std::string hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    const auto text = "HTTP/1.1 100 Continue\r\n\r\n" + hints + answer_with(good_fields());
    CHECK(std::holds_alternative<ClientHandshake::Accepted>(receive(text)));
    CHECK(std::holds_alternative<ClientHandshake::Accepted>(receive(text, example_request(), {text.size(), 3})));

    ClientHandshake handshake{example_request(), {4000, 100}};
    Verdict verdict;
    std::size_t received = 0;
    while (std::holds_alternative<ClientHandshake::NeedMore>(verdict)) {
        verdict = handshake.receive(bytes_of(hints));
        received += hints.size();
    }
    REQUIRE(std::holds_alternative<ClientHandshake::Rejected>(verdict));
    CHECK(std::get<ClientHandshake::Rejected>(verdict).error == Errc::response_header_too_large);
    CHECK(received < 4000 + 2 * hints.size());
}

TEST_CASE("a rejection quotes the server's explanation", "[handshake]") {
    SECTION("a body with a length") {
        const auto rejection = rejected(
            "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 8\r\nX: y\r\n\r\ngo away\nmore",
            Errc::unexpected_status);
        CHECK(rejection.response.status == 403);
        CHECK(rejection.response.body == "go away\n");
        CHECK(rejection.response.content_type == "text/plain");
        CHECK(rejection.response.find("x") == "y");
        CHECK(rejection.text == "the server did not switch protocols: it answered 403 Forbidden: go away");
    }
    SECTION("a redirect is not followed") {
        const auto text =
            rejected("HTTP/1.1 301 Moved\r\nLocation: ws://b/\r\nContent-Length: 0\r\n\r\n", Errc::unexpected_status)
                .text;
        CHECK(text.ends_with("it answered 301 Moved Permanently and points to ws://b/"));
    }
    SECTION("an HTML page is kept but not quoted") {
        const auto rejection = rejected("HTTP/1.1 404 x\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<p>a",
                                        Errc::unexpected_status);
        CHECK(rejection.response.body == "<p>a");
        CHECK(rejection.text.ends_with("it answered 404 Not Found"));
    }
    SECTION("a text with an escape sequence is not quoted") {
        const auto rejection = rejected(
            "HTTP/1.1 404 x\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n\x1B[31m", Errc::unexpected_status);
        CHECK(rejection.text.ends_with("it answered 404 Not Found"));
    }
    SECTION("a status without a body, and an unknown status") {
        rejected("HTTP/1.1 204 No Content\r\n\r\n", Errc::unexpected_status);
        CHECK(rejected("HTTP/1.1 299 x\r\nContent-Length: 0\r\n\r\n", Errc::unexpected_status).response.status == 299);
    }
    SECTION("a 200 is rejected") {
        rejected("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Errc::unexpected_status);
    }
}

TEST_CASE("the body of a refusal may arrive in pieces", "[handshake]") {
    const std::string head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n";
    const auto read_in_pieces = [](std::string_view text, std::size_t cut) {
        ClientHandshake handshake{example_request()};
        REQUIRE(std::holds_alternative<ClientHandshake::NeedMore>(handshake.receive(bytes_of(text).first(cut))));
        auto verdict = handshake.receive(bytes_of(text).subspan(cut));
        REQUIRE(std::holds_alternative<ClientHandshake::Rejected>(verdict));
        return std::get<ClientHandshake::Rejected>(verdict).response.body;
    };
    const auto counted = head + "Content-Length: 5\r\n\r\nhello";
    const auto chunked = head + "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n03;x=\"y\"\r\nllo\r\n0\r\n\r\n";
    for (std::size_t cut = 0; cut < counted.size(); ++cut) CHECK(read_in_pieces(counted, cut) == "hello");
    for (std::size_t cut = 0; cut < chunked.size(); ++cut) CHECK(read_in_pieces(chunked, cut) == "hello");
}

TEST_CASE("the body of a refusal is bounded and may be incomplete", "[handshake]") {
    const std::string head = "HTTP/1.1 500 x\r\n";
    SECTION("a body without a length ends with the stream") {
        CHECK(cut_off(head + "\r\nhello").response.body == "hello");
    }
    SECTION("the stream ends within the body") {
        const auto rejection = cut_off(head + "Content-Length: 1000\r\n\r\nhello");
        CHECK(rejection.error == Errc::unexpected_status);
        CHECK(rejection.response.body == "hello");
    }
    SECTION("a body over 64 KiB is cut") {
        for (const char* framing : {"\r\n", "Content-Length: 99999999999999999\r\n\r\n",
                                    "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFF\r\n"}) {
            const auto rejection = rejected(head + framing + std::string(100'000, 'x'), Errc::unexpected_status);
            CHECK(rejection.response.body == std::string(64 * 1024, 'x'));
        }
    }
    SECTION("an invalid chunk ends the body") {
        for (const char* chunks : {"x\r\n", "\r\n", "-1\r\n", "FFFFFFFFFFFFFFFFF\r\n", "0\r\n\n", "2\nab", ";a\r\n",
                                   "2\r\nabX", "2\r\nab\r\ny\r\n"}) {
            const auto rejection =
                rejected(head + "Transfer-Encoding: chunked\r\n\r\n" + chunks, Errc::unexpected_status);
            CHECK(rejection.response.body.size() <= 2);
        }
    }
}

TEST_CASE("the stream ends before the response is complete", "[handshake]") {
    CHECK(cut_off("").text == "malformed HTTP response: nothing was received");
    CHECK(cut_off("").response.status == 0);
    CHECK(cut_off("HTTP/1.1 101 Switch").text == "malformed HTTP response: it ended within its header");
}

TEST_CASE("ClientHandshake and ServerHandshake accept each other", "[handshake]") {
    auto request = example_request();
    request.host = "[::1]:8080";
    request.target = "/a?b=c";
    request.subprotocols = {"one", "two"};
    request.origin = "http://[::1]:8080";
    request.fields = {{"X-Token", "secret"}};
    for (unsigned round = 0; round < 256; ++round) {
        request.nonce[round % 16] = static_cast<std::uint8_t>(round * 7);
        ClientHandshake client{request};
        ServerHandshake server{{}};
        const auto asked = server.receive(bytes_of(client.request()));
        REQUIRE(std::holds_alternative<ServerHandshake::Upgrade>(asked));
        const auto& offer = std::get<ServerHandshake::Upgrade>(asked).offer;
        CHECK(offer.subprotocols == request.subprotocols);
        CHECK(offer.request.target == "/a?b=c");
        CHECK(offer.request.find("x-token") == "secret");
        CHECK_FALSE(check_offer(offer, {}, true));
        const auto answered = client.receive(bytes_of(accept_response(offer, "two", "wsd")));
        REQUIRE(std::holds_alternative<ClientHandshake::Accepted>(answered));
        CHECK(std::get<ClientHandshake::Accepted>(answered).subprotocol == "two");
    }
}

TEST_CASE("ClientHandshake quotes the refusal of ServerHandshake", "[handshake]") {
    ClientHandshake client{example_request()};
    const auto answered = client.receive(bytes_of(refusal_response(Errc::origin_forbidden, "wsd", "http://a")));
    REQUIRE(std::holds_alternative<ClientHandshake::Rejected>(answered));
    CHECK(std::get<ClientHandshake::Rejected>(answered).text ==
          "the server did not switch protocols: it answered 403 Forbidden: this origin is not allowed: http://a");
}

TEST_CASE("a random response has the same verdict wherever it is cut", "[handshake]") {
    std::uint32_t state = 54321;
    const auto random = [&] { return state = state * 1664525u + 1013904223u, state >> 24; };
    const std::string originals[] = {
        answer_with(good_fields()),
        "HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"};
    for (int round = 0; round < 20'000; ++round) {
        auto text = originals[round % 2];
        for (auto changes = 1 + random() % 4; changes > 0; --changes) {
            const auto at = (random() * 256 + random()) % text.size();
            if (random() % 2) {
                text[at] = static_cast<char>(random());
            } else {
                text.insert(at, text.substr(random() % text.size(), random() % 20));
            }
        }
        ClientHandshake handshake{example_request()};
        auto whole = handshake.receive(bytes_of(text));
        if (std::holds_alternative<ClientHandshake::NeedMore>(whole)) whole = handshake.receive_eof();

        ClientHandshake dripping{example_request()};
        Verdict dripped;
        for (std::size_t i = 0; i < text.size() && std::holds_alternative<ClientHandshake::NeedMore>(dripped); ++i) {
            dripped = dripping.receive(bytes_of(text).subspan(i, 1));
        }
        if (std::holds_alternative<ClientHandshake::NeedMore>(dripped)) dripped = dripping.receive_eof();
        REQUIRE(whole.index() == dripped.index());
        if (const auto* rejection = std::get_if<ClientHandshake::Rejected>(&whole)) {
            REQUIRE(rejection->error == std::get<ClientHandshake::Rejected>(dripped).error);
            REQUIRE(rejection->response.body == std::get<ClientHandshake::Rejected>(dripped).response.body);
        }
    }
}
