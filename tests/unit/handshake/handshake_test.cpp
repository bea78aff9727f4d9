#include "wsserver/handshake/handshake.hpp"

#include <cstring>

#include "support/catch.hpp"
#include "support/http.hpp"

using namespace wsserver;
using namespace wsserver::test;

namespace {

using Verdict = ServerHandshake::Verdict;

Verdict receive(std::string_view text, HandshakeLimits limits = {}) {
    ServerHandshake handshake{limits};
    return handshake.receive(bytes_of(text));
}

Verdict receive_byte_by_byte(std::string_view text, HandshakeLimits limits = {}) {
    ServerHandshake handshake{limits};
    for (std::size_t i = 0; i < text.size(); ++i) {
        auto verdict = handshake.receive(bytes_of(text.substr(i, 1)));
        if (!std::holds_alternative<ServerHandshake::NeedMore>(verdict)) return verdict;
    }
    return ServerHandshake::NeedMore{};
}

Offer accepted(const Fields& fields, std::string_view first_line = "GET /chat HTTP/1.1") {
    auto verdict = receive(request_with(fields, first_line));
    if (const auto* refused = std::get_if<ServerHandshake::Refused>(&verdict)) FAIL(refused->response);
    REQUIRE(std::holds_alternative<ServerHandshake::Upgrade>(verdict));
    return std::get<ServerHandshake::Upgrade>(std::move(verdict)).offer;
}

/// Checks that `text` is refused with one well-formed response that closes the connection and gives the reason. Returns
/// the response.
Answer refused(std::string_view text, Errc error, unsigned status, HandshakeLimits limits = {}) {
    CAPTURE(text);
    const auto verdict = receive(text, limits);
    REQUIRE(std::holds_alternative<ServerHandshake::Refused>(verdict));
    const auto& refusal = std::get<ServerHandshake::Refused>(verdict);
    CAPTURE(refusal.response);
    CHECK(refusal.error == error);
    const auto answer = read_answer(refusal.response);
    CHECK(answer.status == status);
    CHECK(answer.find("Connection").starts_with("close"));
    CHECK(answer.find("Content-Type") == "text/plain; charset=utf-8");
    if (!text.starts_with("HEAD")) {
        CHECK(answer.body.starts_with(message_of(error)));
        CHECK(answer.find("Content-Length") == std::to_string(answer.body.size()));
    }

    const auto dripped = receive_byte_by_byte(text, limits);
    REQUIRE(std::holds_alternative<ServerHandshake::Refused>(dripped));
    CHECK(std::get<ServerHandshake::Refused>(dripped).response == refusal.response);
    return answer;
}

Answer refused(const Fields& fields, Errc error, unsigned status) {
    return refused(request_with(fields), error, status);
}

HttpRequest plain(std::string_view text) {
    auto verdict = receive(text);
    if (const auto* refused = std::get_if<ServerHandshake::Refused>(&verdict)) FAIL(refused->response);
    REQUIRE(std::holds_alternative<ServerHandshake::Plain>(verdict));
    return std::get<ServerHandshake::Plain>(std::move(verdict)).request;
}

}  // namespace

TEST_CASE("the RFC's example is accepted with the RFC's response", "[handshake][rfc6455-1.3]") {
    auto fields = with(example_fields(), "Origin", "http://example.com");
    fields = with(fields, "Sec-WebSocket-Protocol", "chat, superchat");
    const auto offer = accepted(fields);
    CHECK(offer.request.method == "GET");
    CHECK(offer.request.target == "/chat");
    CHECK(offer.request.version == 11);
    CHECK(offer.request.find("host") == "server.example.com");
    CHECK(offer.request.find("X-None").empty());
    CHECK(offer.key == "dGhlIHNhbXBsZSBub25jZQ==");
    CHECK(offer.origin == "http://example.com");
    CHECK(offer.subprotocols == std::vector<std::string>{"chat", "superchat"});

    CHECK(accept_response(offer, "chat", "") ==
          "HTTP/1.1 101 Switching Protocols\r\n"
          "Upgrade: websocket\r\n"
          "Connection: Upgrade\r\n"
          "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
          "Sec-WebSocket-Protocol: chat\r\n"
          "\r\n");
}

TEST_CASE("a response without a subprotocol has no Sec-WebSocket-Protocol field", "[handshake][rfc6455-4.2.2]") {
    const auto answer = read_answer(accept_response(accepted(example_fields()), "", "wsd/1.0"));
    CHECK(answer.status == 101);
    CHECK(answer.fields.size() == 4);
    CHECK(answer.find("Server") == "wsd/1.0");
    CHECK(answer.body.empty());
}

TEST_CASE("a request has the same result wherever it is cut", "[handshake]") {
    const auto text = request_with(with(example_fields(), "Sec-WebSocket-Protocol", "a, b"));
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        CAPTURE(cut);
        ServerHandshake handshake{{}};
        auto verdict = handshake.receive(bytes_of(text).first(cut));
        if (cut < text.size()) {
            REQUIRE(std::holds_alternative<ServerHandshake::NeedMore>(verdict));
            CHECK(handshake.consumed() == cut);
            verdict = handshake.receive(bytes_of(text).subspan(cut));
        }
        CHECK(handshake.consumed() == (cut == text.size() ? text.size() : text.size() - cut));
        REQUIRE(std::holds_alternative<ServerHandshake::Upgrade>(verdict));
        CHECK(std::get<ServerHandshake::Upgrade>(verdict).offer.subprotocols == std::vector<std::string>{"a", "b"});
    }
    CHECK(std::holds_alternative<ServerHandshake::Upgrade>(receive_byte_by_byte(text)));
}

TEST_CASE("frames after the request are left to the caller", "[handshake]") {
    const auto request = request_with(example_fields());
    const std::string frames{"\x81\x85\0\0\0\0Hello\r\n\r\n", 15};
    ServerHandshake handshake{{}};
    const auto packet = request + frames;
    REQUIRE(std::holds_alternative<ServerHandshake::NeedMore>(handshake.receive(bytes_of(packet).first(20))));
    REQUIRE(std::holds_alternative<ServerHandshake::Upgrade>(handshake.receive(bytes_of(packet).subspan(20))));
    CHECK(text_of(bytes_of(packet).subspan(20 + handshake.consumed())) == frames);
}

TEST_CASE("names and lists are read without regard to case", "[handshake][rfc6455-4.2.1]") {
    const Fields shouting{{"HOST", "server.example.com"},
                          {"UPGRADE", "h2c, WebSocket"},
                          {"connection", "keep-alive , uPGRADE"},
                          {"sec-websocket-KEY", "dGhlIHNhbXBsZSBub25jZQ=="},
                          {"sec-websocket-version", "13"}};
    CHECK(accepted(shouting).key == "dGhlIHNhbXBsZSBub25jZQ==");

    auto spread = without(without(example_fields(), "Upgrade"), "Connection");
    for (const char* word : {"foo", "websocket"}) spread = with(spread, "Upgrade", word);
    for (const char* word : {"keep-alive", "Upgrade"}) spread = with(spread, "Connection", word);
    CHECK(accepted(spread).request.fields.size() == 7);
}

TEST_CASE("spaces around the value of a field are removed", "[handshake]") {
    const auto offer = accepted(replaced(example_fields(), "Sec-WebSocket-Version", " \t 13 \t"));
    CHECK(offer.request.find("Sec-WebSocket-Version") == "13");
}

TEST_CASE("subprotocols are a list of distinct tokens", "[handshake][rfc6455-4.1]") {
    const auto offered = [](std::initializer_list<const char*> lines) {
        auto fields = example_fields();
        for (const char* line : lines) fields = with(fields, "Sec-WebSocket-Protocol", line);
        return fields;
    };
    SECTION("several fields are equivalent to one") {
        CHECK(accepted(offered({"chat, b", "c.d"})).subprotocols == std::vector<std::string>{"chat", "b", "c.d"});
    }
    SECTION("names that differ in case are distinct") {
        CHECK(accepted(offered({"chat, Chat"})).subprotocols == std::vector<std::string>{"chat", "Chat"});
    }
    SECTION("empty elements are skipped") {
        CHECK(accepted(offered({", a,, b ,"})).subprotocols == std::vector<std::string>{"a", "b"});
    }
    SECTION("other values are refused") {
        for (const auto& lines :
             {offered({""}), offered({","}), offered({"a b"}), offered({"a, b/c"}), offered({"a, b, a"}),
              offered({"a", "a"}), offered({"\"a\""}), offered({"a\xFF"}), offered({"a; q=1"})}) {
            refused(lines, Errc::bad_subprotocol, 400);
        }
    }
}

TEST_CASE("a request without a required field, or with an invalid one, is refused", "[handshake][rfc6455-4.2.1]") {
    const auto all = example_fields();
    SECTION("Host") {
        refused(without(all, "Host"), Errc::missing_host, 400);
        refused(with(all, "Host", "server.example.com"), Errc::missing_host, 400);
        for (const char* host :
             {"", "a b", "a, b", "user@a", "a/b", "a:0", "a:65536", "a:x", ":80", "[::1", "[]", "::1", "a\x80"}) {
            refused(replaced(all, "Host", host), Errc::missing_host, 400);
        }
        for (const char* host : {"a:", "a:1", "a:65535", "[::1]", "[::1]:80", "127.0.0.1:8080", "a_b"}) {
            CHECK(accepted(replaced(all, "Host", host)).request.find("Host") == host);
        }
    }
    SECTION("Upgrade") {
        const auto answer = refused(without(all, "Upgrade"), Errc::not_an_upgrade, 426);
        CHECK(answer.find("Upgrade") == "websocket");
        CHECK(answer.find("Connection") == "close, Upgrade");
        refused(replaced(all, "Upgrade", "websockets"), Errc::not_an_upgrade, 426);
        refused(replaced(all, "Upgrade", "web socket"), Errc::not_an_upgrade, 426);
    }
    SECTION("Connection") {
        refused(without(all, "Connection"), Errc::missing_connection_upgrade, 400);
        refused(replaced(all, "Connection", "keep-alive"), Errc::missing_connection_upgrade, 400);
        refused(replaced(all, "Connection", "upgrades"), Errc::missing_connection_upgrade, 400);
    }
    SECTION("key") {
        refused(without(all, "Sec-WebSocket-Key"), Errc::missing_key, 400);
        refused(with(all, "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), Errc::bad_key, 400);
        for (const char* key : {"", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25j", "AAAA",
                                "dGhlIHNhbXBsZSBub25jZTE2MQ==", "dGhlIHNhbXBsZSBub25j!Q==", "dGhlIHNhbXBsZSBub25jZQ=a",
                                "dGhlIHNhbXBsZSBub25jZWI=", "dGhlIHNhbXBs ZSBub25jQ=="}) {
            refused(replaced(all, "Sec-WebSocket-Key", key), Errc::bad_key, 400);
        }
    }
    SECTION("version") {
        for (const auto& fields :
             {without(all, "Sec-WebSocket-Version"), replaced(all, "Sec-WebSocket-Version", "8"),
              replaced(all, "Sec-WebSocket-Version", "13, 8"), replaced(all, "Sec-WebSocket-Version", "013"),
              replaced(all, "Sec-WebSocket-Version", ""), with(all, "Sec-WebSocket-Version", "13")}) {
            const auto answer = refused(fields, Errc::unsupported_version, 426);
            CHECK(answer.find("Sec-WebSocket-Version") == "13");
            CHECK(answer.find("Upgrade") == "websocket");
        }
    }
    SECTION("a client of an older draft receives the version, not an error about its key") {
        refused(
            Fields{{"Host", "a"}, {"Upgrade", "WebSocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Key1", "4 @"}},
            Errc::unsupported_version, 426);
    }
    SECTION("extensions must be a list of extensions") {
        const auto with_extensions = [&](std::string value) {
            return with(all, "Sec-WebSocket-Extensions", std::move(value));
        };
        for (const char* good : {"permessage-deflate", "permessage-deflate; client_max_window_bits", "a;b=c;d=\"e\", f",
                                 "a; b=\"\\c\"", "permessage-deflate ; server_max_window_bits = 10 , , x"}) {
            CAPTURE(good);
            accepted(with_extensions(good));
        }
        for (const char* bad : {"", ",", "a;", "a; =b", "a; b=", "a; b=\"", "a; b=\"c d\"", "a; b=\"c,d\"", "a b",
                                "a=b", "a; b=\"\"", ";a", "a; b=\"c\\", "a\xC3\xA9"}) {
            refused(with_extensions(bad), Errc::bad_extensions, 400);
        }
    }
    SECTION("Origin must not be empty or repeated") {
        refused(with(all, "Origin", ""), Errc::malformed_request, 400);
        refused(with(with(all, "Origin", "http://a"), "Origin", "http://b"), Errc::malformed_request, 400);
    }
}

TEST_CASE("a method other than GET is refused", "[handshake][rfc6455-4.1]") {
    for (const char* method : {"POST", "OPTIONS", "PUT", "CONNECT", "get", "BREW"}) {
        const auto answer =
            refused(request_with(example_fields(), std::string{method} + " /chat HTTP/1.1"), Errc::bad_method, 405);
        CHECK(answer.find("Allow") == "GET, HEAD");
    }
    refused(request_with(example_fields(), "HEAD /chat HTTP/1.1"), Errc::bad_method, 405);
    refused(request_with(example_fields(), "OPTIONS * HTTP/1.1"), Errc::bad_method, 405);
}

TEST_CASE("the response to a HEAD request has no body", "[handshake]") {
    CHECK(refused(request_with(example_fields(), "HEAD / HTTP/1.1"), Errc::bad_method, 405).body.empty());
}

TEST_CASE("the version must be HTTP/1.1 or a later minor version", "[handshake][rfc6455-4.2.1]") {
    refused(request_with(example_fields(), "GET / HTTP/1.0"), Errc::bad_http_version, 505);
    refused(request_with(example_fields(), "GET / HTTP/2.0"), Errc::bad_http_version, 505);
    refused(request_with(example_fields(), "GET / HTTP/0.9"), Errc::bad_http_version, 505);
    refused("PRI * HTTP/2.0\r\n\r\n", Errc::bad_http_version, 505);
    CHECK(accepted(example_fields(), "GET / HTTP/1.2").request.version == 11);
    CHECK(accepted(example_fields(), "GET / HTTP/1.9").request.version == 11);
}

TEST_CASE("the target is a path or an absolute URI, which is reduced to its path", "[handshake][rfc9112-3.2]") {
    CHECK(accepted(example_fields(), "GET /a%20b?c=d&e HTTP/1.1").request.target == "/a%20b?c=d&e");
    const auto absolute = [](std::string target) {
        return accepted(example_fields(), "GET " + target + " HTTP/1.1").request;
    };
    CHECK(absolute("http://other.example:81/x?y").target == "/x?y");
    CHECK(absolute("http://other.example:81/x?y").find("Host") == "other.example:81");
    CHECK(absolute("WSS://other.example").target == "/");
    CHECK(absolute("ws://other.example?q").target == "/?q");
    CHECK(absolute("https://[::1]/").find("Host") == "[::1]");
    for (const char* target : {"chat", "*", "example.com:80", "ftp://a/b", "http://", "http:///x", "http://u@a/",
                               "/a#b", "http://a/b#c", "/\x80", "/\xC3\xA9"}) {
        refused(request_with(example_fields(), "GET " + std::string{target} + " HTTP/1.1"), Errc::malformed_request,
                400);
    }
}

TEST_CASE("a request with a payload is refused, as it allows request smuggling", "[handshake][rfc9112-11.2]") {
    const auto all = example_fields();
    refused(with(all, "Content-Length", "5"), Errc::request_with_payload, 400);
    refused(with(all, "Content-Length", "18446744073709551615"), Errc::request_with_payload, 400);
    refused(with(all, "Transfer-Encoding", "chunked"), Errc::request_with_payload, 400);
    refused(with(all, "Transfer-Encoding", "identity"), Errc::request_with_payload, 400);
    refused(with(all, "Transfer-Encoding", ""), Errc::request_with_payload, 400);
    refused(request_with(Fields{{"Host", "a"}, {"Content-Length", "1"}}, "GET / HTTP/1.1"), Errc::request_with_payload,
            400);
    for (const char* length : {"x", "", "-1", "+1", "0x0", "1 2", "18446744073709551616", "0, 5"}) {
        refused(with(all, "Content-Length", length), Errc::malformed_request, 400);
    }
    refused(with(with(all, "Content-Length", "0"), "Content-Length", "5"), Errc::malformed_request, 400);
    refused(with(with(all, "Content-Length", "5"), "Transfer-Encoding", "chunked"), Errc::malformed_request, 400);
    accepted(with(all, "Content-Length", "0"));
}

TEST_CASE("a request that readers can understand in different ways is malformed", "[handshake][rfc9112-2.2]") {
    const auto good = request_with(example_fields());
    const auto malformed = [](std::string text) { refused(text, Errc::malformed_request, 400); };
    const auto with_line = [&](std::string line) {
        auto text = good;
        return text.insert(text.size() - 2, line);
    };
    SECTION("line ends") {
        malformed("GET / HTTP/1.1\nHost: a\n\n");
        malformed("GET / HTTP/1.1\rHost: a\r\r");
        malformed(with_line("A: b\n"));
        malformed(with_line("A: b\rC: d\r\n"));
        malformed(with_line("A: b\r\r\n"));
        malformed("\r\n\r\n" + good);
        malformed("\r" + good);
        malformed("\n" + good);
        malformed("\r\n\n" + good);
        malformed(good.substr(0, good.size() - 1) + "x");
    }
    SECTION("folded lines") {
        malformed(with_line("A: b\r\n c\r\n"));
        malformed(with_line("A: b\r\n\tc\r\n"));
        malformed("GET / HTTP/1.1\r\n Host: a\r\n\r\n");
        malformed(with_line(" \r\n"));
    }
    SECTION("names") {
        malformed(with_line("Host : a\r\n"));
        malformed(with_line(": a\r\n"));
        malformed(with_line("A\r\n"));
        malformed(with_line("A B: c\r\n"));
        malformed(with_line("A(B): c\r\n"));
        malformed(with_line("A\x80: c\r\n"));
    }
    SECTION("control characters in any position") {
        for (int c = 0; c < 256; ++c) {
            const bool is_control = (c < 0x20 && c != '\t') || c == 0x7F;
            if (!is_control || c == '\r' || c == '\n') continue;
            malformed(with_line(std::string{"A: b"} + static_cast<char>(c) + "c\r\n"));
            malformed(with_line(std::string{"A"} + static_cast<char>(c) + ": c\r\n"));
            malformed(static_cast<char>(c) + good);
        }
    }
    SECTION("bytes over 127 in a value are accepted") {
        CHECK(std::holds_alternative<ServerHandshake::Upgrade>(receive(with_line("A: \x80\xFF\r\n"))));
    }
    SECTION("the first line") {
        for (const char* line :
             {"GET / ", "GET /", "GET", "GET  / HTTP/1.1", "GET / HTTP/1.1 ", "GET / x HTTP/1.1", " GET / HTTP/1.1",
              "GET\t/\tHTTP/1.1", "GET / http/1.1", "GET / HTTP/1", "GET / HTTP/1.1x", "GET / HTTP/x.1",
              "GET / HTTP/1,1", "G(T / HTTP/1.1", "/ HTTP/1.1", "Host: a", ": :: HTTP/1.1"}) {
            malformed(request_with(example_fields(), line));
        }
    }
    SECTION("other protocols") {
        malformed(std::string{"\x16\x03\x01\x02\x00\x01\x00", 7});  // the first bytes of a TLS client
        malformed("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    }
}

TEST_CASE("one empty line before a request is ignored", "[handshake][rfc9112-2.2]") {
    const auto text = "\r\n" + request_with(example_fields());
    for (std::size_t cut = 0; cut < text.size(); ++cut) {
        CAPTURE(cut);
        ServerHandshake handshake{{}};
        REQUIRE(std::holds_alternative<ServerHandshake::NeedMore>(handshake.receive(bytes_of(text).first(cut))));
        const auto verdict = handshake.receive(bytes_of(text).subspan(cut));
        REQUIRE(std::holds_alternative<ServerHandshake::Upgrade>(verdict));
        CHECK(std::get<ServerHandshake::Upgrade>(verdict).offer.request.find("Host") == "server.example.com");
    }
}

TEST_CASE("an invalid request is refused at its first invalid byte", "[handshake]") {
    ServerHandshake handshake{{}};
    CHECK(std::holds_alternative<ServerHandshake::Refused>(handshake.receive(bytes_of("GET / HTTP/1.1\n"))));
    CHECK(handshake.consumed() == 15);
}

TEST_CASE("a request at a limit is accepted, and one over it is refused", "[handshake]") {
    const auto text = request_with(example_fields());
    SECTION("bytes") {
        CHECK(std::holds_alternative<ServerHandshake::Upgrade>(receive(text, {text.size(), 100})));
        CHECK(std::holds_alternative<ServerHandshake::Upgrade>(receive_byte_by_byte(text, {text.size(), 100})));
        refused(text, Errc::request_header_too_large, 431, {text.size() - 1, 100});
    }
    SECTION("fields") {
        CHECK(std::holds_alternative<ServerHandshake::Upgrade>(receive(text, {16384, 5})));
        refused(text, Errc::too_many_fields, 431, {16384, 4});
    }
    SECTION("frames after the request do not count") {
        const auto packet = text + std::string(1000, 'x');
        ServerHandshake handshake{{text.size(), 5}};
        CHECK(std::holds_alternative<ServerHandshake::Upgrade>(handshake.receive(bytes_of(packet))));
        CHECK(handshake.consumed() == text.size());
    }
    SECTION("a line without an end is refused after max_header bytes") {
        ServerHandshake handshake{{1000, 100}};
        const std::string endless(999, 'x');
        CHECK(std::holds_alternative<ServerHandshake::NeedMore>(handshake.receive(bytes_of(endless))));
        CHECK(std::holds_alternative<ServerHandshake::NeedMore>(handshake.receive(bytes_of("x"))));
        CHECK(std::holds_alternative<ServerHandshake::Refused>(handshake.receive(bytes_of("x"))));
    }
    SECTION("the target") {
        const auto long_text = [](std::size_t size) {
            auto request = request_with(example_fields());
            return "GET /" + std::string(size - 1, 't') + request.substr(request.find(" HTTP/"));
        };
        CHECK(std::holds_alternative<ServerHandshake::Upgrade>(receive(long_text(4096))));
        refused(long_text(4097), Errc::request_header_too_large, 431);
    }
    SECTION("the default limits") {
        auto fields = example_fields();
        fields = with(fields, "A", std::string(16 * 1024 - text.size() - std::strlen("A: \r\n"), 'b'));
        CHECK(std::holds_alternative<ServerHandshake::Upgrade>(receive(request_with(fields))));
        fields.back().second += 'b';
        refused(fields, Errc::request_header_too_large, 431);

        fields = example_fields();
        while (fields.size() < 100) fields = with(fields, "A" + std::to_string(fields.size()), "b");
        CHECK(accepted(fields).request.fields.size() == 100);
        refused(with(fields, "B", "c"), Errc::too_many_fields, 431);
    }
    SECTION("a very long key is refused as a key") {
        refused(replaced(example_fields(), "Sec-WebSocket-Key", std::string(10'000, 'A')), Errc::bad_key, 400);
    }
    SECTION("many subprotocols") {
        std::string list;
        for (int i = 0; list.size() < 14'000; ++i) list += std::to_string(i) + ",";
        CHECK(accepted(with(example_fields(), "Sec-WebSocket-Protocol", list)).subprotocols.size() > 2000);
    }
}

TEST_CASE("a request that does not ask for a WebSocket is passed to the caller", "[handshake]") {
    CHECK(plain("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").target == "/healthz");
    CHECK(plain("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").method == "HEAD");
    CHECK(plain("GET / HTTP/1.0\r\n\r\n").version == 10);
    CHECK(plain("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").find("upgrade") == "h2c");
    refused("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Errc::missing_host, 400);
    refused("POST / HTTP/1.1\r\nHost: a\r\n\r\n", Errc::bad_method, 405);
}

TEST_CASE("each refusal has a status and the fields that this status requires", "[handshake]") {
    for (int number = 1; number <= static_cast<int>(Errc::unoffered_extension); ++number) {
        const auto error = static_cast<Errc>(number);
        const auto answer = read_answer(refusal_response(error, "wsd", "a detail"));
        CHECK(answer.status == http_status_for(error));
        CHECK((answer.status >= 400 && answer.status < 600));
        CHECK(answer.body == std::string{message_of(error)} + ": a detail\n");
        CHECK(answer.find("Content-Length") == std::to_string(answer.body.size()));
        CHECK(answer.find("Server") == "wsd");
        CHECK(answer.find("Retry-After").empty() == (answer.status != 503 && answer.status != 429));
        CHECK(answer.find("Allow").empty() == (answer.status != 405));
        CHECK(answer.find("Sec-WebSocket-Version").empty() == (answer.status != 426));
    }
    CHECK(http_status_for(Errc::handshake_timeout) == 408);
    CHECK(http_status_for(Errc::origin_forbidden) == 403);
    CHECK(http_status_for(Errc::unknown_host) == 421);
    CHECK(http_status_for(Errc::no_such_path) == 404);
    CHECK(http_status_for(Errc::too_many_connections) == 503);
    CHECK(http_status_for(Errc::too_many_new_from_address) == 429);
    CHECK(http_status_for(Errc::unknown_subprotocol) == 400);
}

TEST_CASE("a refusal names the target as far as it was received", "[handshake]") {
    const auto target_of = [](std::string_view text) {
        return std::get<ServerHandshake::Refused>(receive(text)).target;
    };
    CHECK(target_of("POST /.env HTTP/1.1\r\nHost: x\r\n\r\n") == "/.env");
    CHECK(target_of("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n") == "/a b");
    CHECK(target_of("GET /long HTTP/1.1\r\nx: " + std::string(20'000, 'x')) == "/long");
    CHECK(target_of("GET /bare\n") == "");
    CHECK(target_of("\x16\x03\x01") == "");
}

TEST_CASE("a refusal has a Server field if a name is given", "[handshake]") {
    ServerHandshake handshake{{}, "wsd/1.0"};
    const auto verdict = handshake.receive(bytes_of("x\n"));
    CHECK(read_answer(std::get<ServerHandshake::Refused>(verdict).response).find("Server") == "wsd/1.0");
}

TEST_CASE("values with control characters cannot forge a line", "[handshake]") {
    const auto offer = accepted(example_fields());
    for (const char* evil : {"chat\r\nSet-Cookie: a=b", "chat\nX: y", "chat\r\n\r\nHTTP/1.1 200 OK", "chat\rX: y"}) {
        CAPTURE(evil);
        CHECK(read_answer(accept_response(offer, evil, evil)).fields.size() == 5);
        CHECK(read_answer(refusal_response(Errc::bad_key, evil)).fields.size() == 4);
        HttpResponse response{200, {{"X-A", evil}, {evil, "b"}, {"Location", evil}}, evil, "body"};
        const auto answer = read_answer(http_response(response, HttpRequest{"GET", "/"}, evil));
        CHECK(answer.fields.size() == 6);  // Server, X-A, Location, Content-Type, Content-Length, Connection
        CHECK(answer.body == "body");
    }
    const auto answer = read_answer(accept_response(offer, std::string_view{"a\0b", 3}, ""));
    CHECK(answer.find("Sec-WebSocket-Protocol") == "a b");
}

TEST_CASE("a page is served with the fields that a browser needs", "[handshake]") {
    const HttpRequest get{"GET", "/"}, head{"HEAD", "/"};
    HttpResponse page{200, {{"Cache-Control", "no-store"}}, "text/html", "<p>hi"};
    CHECK(http_response(page, get, "wsd") ==
          "HTTP/1.1 200 OK\r\n"
          "Server: wsd\r\n"
          "Cache-Control: no-store\r\n"
          "Content-Type: text/html\r\n"
          "Content-Length: 5\r\n"
          "Connection: close\r\n"
          "\r\n"
          "<p>hi");
    SECTION("the response to a HEAD request has the same fields and no body") {
        const auto answer = read_answer(http_response(page, head, ""));
        CHECK(answer.find("Content-Length") == "5");
        CHECK(answer.body.empty());
    }
    SECTION("the fields that delimit the response are not taken from the page") {
        page.fields = {{"content-length", "7"}, {"Transfer-Encoding", "chunked"}, {"Connection", "keep-alive"}};
        const auto answer = read_answer(http_response(page, get, ""));
        CHECK(answer.fields.size() == 3);
        CHECK(answer.find("Content-Length") == "5");
        CHECK(answer.find("Connection") == "close");
    }
    SECTION("204 and 304 have no body and no length") {
        for (const unsigned status : {204u, 304u}) {
            page.status = status;
            const auto answer = read_answer(http_response(page, get, ""));
            CHECK(answer.find("Content-Length").empty());
            CHECK(answer.body.empty());
        }
    }
    SECTION("a status without three digits becomes 500") {
        for (const unsigned status : {0u, 99u, 1000u}) {
            page.status = status;
            CHECK(read_answer(http_response(page, get, "")).status == 500);
        }
        page.status = 299;  // unknown, but it has three digits
        CHECK(read_answer(http_response(page, get, "")).status == 299);
    }
}

TEST_CASE("a random request has the same verdict wherever it is cut", "[handshake]") {
    // A fixed generator, so that a failure is repeatable.
    std::uint32_t state = 12345;
    const auto random = [&] { return state = state * 1664525u + 1013904223u, state >> 24; };
    const auto good = request_with(with(example_fields(), "Sec-WebSocket-Extensions", "a; b=\"c\""));
    for (int round = 0; round < 20'000; ++round) {
        auto text = good;
        for (auto changes = 1 + random() % 4; changes > 0; --changes) {
            const auto at = (random() * 256 + random()) % text.size();
            switch (random() % 3) {
                case 0:
                    text[at] = static_cast<char>(random());
                    break;
                case 1:
                    text.erase(at, 1 + random() % 20);
                    break;
                default:
                    text.insert(at, text.substr(random() % text.size(), random() % 20));
            }
        }
        const auto whole = receive(text);
        const auto dripped = receive_byte_by_byte(text);
        REQUIRE(whole.index() == dripped.index());
        if (const auto* refusal = std::get_if<ServerHandshake::Refused>(&whole))
            REQUIRE_NOTHROW(read_answer(refusal->response));
        if (const auto* upgrade = std::get_if<ServerHandshake::Upgrade>(&whole)) {
            REQUIRE(upgrade->offer.key.size() == 24);
            REQUIRE(upgrade->offer.request.target.starts_with('/'));
        }
    }
}
