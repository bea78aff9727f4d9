// Plain HTTP requests of any method, with bodies, one after the other.
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "support/catch.hpp"
#include "support/http.hpp"
#include "wsserver/handshake/handshake.hpp"
#include "wsserver/handshake/http_body.hpp"

using namespace wsserver;
using namespace wsserver::test;

namespace {

/// Reads requests and their bodies like a server: one line for each, and none after a refusal or an upgrade.
class Requests {
   public:
    Requests() { handshake_.serve_http(); }

    void receive(Bytes bytes) {
        while (!bytes.empty() && !ended_) in_body_ ? read_body(bytes) : read_head(bytes);
    }

    std::vector<std::string> lines{};

   private:
    void read_head(Bytes& bytes) {
        auto verdict = handshake_.receive(bytes);
        bytes = bytes.subspan(handshake_.consumed());
        if (auto* plain = std::get_if<ServerHandshake::Plain>(&verdict)) {
            lines.push_back(plain->request.method + " " + plain->request.target + " " +
                            std::to_string(plain->request.fields.size()) + (plain->keeps_alive ? "" : " close") +
                            (plain->expects_continue ? " continue" : ""));
            reader_ = BodyReader{plain->body};
            request_ = std::move(plain->request);
            in_body_ = true;
            if (plain->body.is_empty()) read_body(bytes);
        } else if (const auto* refused = std::get_if<ServerHandshake::Refused>(&verdict)) {
            lines.push_back(std::to_string(read_answer(refused->response).status));
            ended_ = true;
        } else if (std::holds_alternative<ServerHandshake::Upgrade>(verdict)) {
            lines.emplace_back("upgrade");
            ended_ = true;
        }
    }
    void read_body(Bytes& bytes) {
        const auto step = reader_.next(bytes);
        if (const auto* data = std::get_if<BodyReader::Data>(&step)) body_ += text_of(data->bytes);
        if (std::holds_alternative<BodyReader::Malformed>(step)) {
            lines.emplace_back("malformed body");
            ended_ = true;
        }
        if (!std::holds_alternative<BodyReader::End>(step)) return;
        if (!body_.empty()) lines.push_back("  " + std::exchange(body_, {}));
        in_body_ = false;
        handshake_.next_request(std::move(request_));
    }

    ServerHandshake handshake_{HandshakeLimits{}};
    BodyReader reader_;
    HttpRequest request_;
    std::string body_;
    bool in_body_ = false;
    bool ended_ = false;
};

/// The lines for `text`, which are the same wherever it is cut.
std::vector<std::string> read(std::string_view text) {
    Requests whole;
    whole.receive(bytes_of(text));
    for (std::size_t at = 1; at < text.size(); ++at) {
        Requests cut;
        cut.receive(bytes_of(text.substr(0, at)));
        cut.receive(bytes_of(text.substr(at)));
        CAPTURE(at);
        REQUIRE(cut.lines == whole.lines);
    }
    return whole.lines;
}

using Lines = std::vector<std::string>;

std::string post(std::string_view fields, std::string_view rest = {}) {
    return "POST /a HTTP/1.1\r\nHost: h\r\n" + std::string{fields} + "\r\n" + std::string{rest};
}

constexpr std::string_view smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

}  // namespace

TEST_CASE("requests follow each other on one stream", "[http_requests][rfc9112-9.3]") {
    CHECK(read("POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nA: b\r\n\r\nhello"
               "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
               "\r\nDELETE /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
               "PUT /y HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
               "1\r\na\r\n2\r\nbc\r\n0\r\nT: u\r\n\r\n"
               "M-SEARCH * HTTP/1.1\r\nHost: h\r\n\r\n") ==
          Lines{"POST /a?b=c 3", "  hello", "GET / 1", "DELETE /x 2", "PUT /y 3 continue", "  abc", "400"});
    CHECK(read("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\nHEAD http://h/z HTTP/1.0\r\n\r\nGET / HTTP/1.1\r\n"
               "Host: h\r\nConnection: close\r\n\r\n") == Lines{"OPTIONS * 1", "HEAD /z 0 close", "GET / 2 close"});
    CHECK(read("CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n") == Lines{"405"});
    CHECK(read("CONNECT /x HTTP/1.1\r\nHost: h\r\n\r\n") == Lines{"CONNECT /x 1 close"});
    CHECK(read("GET * HTTP/1.1\r\nHost: h\r\n\r\n") == Lines{"400"});
}

TEST_CASE("an upgrade may follow on a kept stream", "[http_requests][rfc6455-4.2]") {
    CHECK(read("GET / HTTP/1.1\r\nHost: h\r\n\r\n" + request_with(example_fields()) + "frames") ==
          Lines{"GET / 1", "upgrade"});
    CHECK(read(request_with(example_fields(), "POST /chat HTTP/1.1")) == Lines{"405"});
    CHECK(read(request_with(with(example_fields(), "Content-Length", "1")) + "x") == Lines{"400"});
    CHECK(read(request_with(with(example_fields(), "Transfer-Encoding", "chunked"))) == Lines{"400"});
    CHECK(read(request_with(without(example_fields(), "Upgrade"))) == Lines{"426"});
    CHECK(read(request_with(replaced(example_fields(), "Upgrade", "h2c"))) == Lines{"426"});
}

TEST_CASE("nothing is read after a request that could smuggle another", "[http_requests][rfc9112-11.2]") {
    const auto only = [](std::string_view first_fields, std::string_view rest, const std::string& last) {
        CAPTURE(first_fields, rest);
        CHECK(read(post(first_fields, std::string{rest} + std::string{smuggled})).back() == last);
        CHECK(read(post(first_fields, std::string{rest} + std::string{smuggled})).size() <= 3);
    };
    only("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", "400");
    only("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n", "400");
    only("Content-Length: 5\r\nContent-Length: 5\r\n", "hello", "400");
    only("Content-Length: 5\r\nContent-Length: 0\r\n", "hello", "400");
    only("Content-Length: 5, 5\r\n", "hello", "400");
    only("Content-Length: +5\r\n", "hello", "400");
    only("Content-Length: 5 \r\nContent-length : 6\r\n", "hello", "400");
    only("Content-Length : 5\r\n", "hello", "400");
    only("Content-Length\t: 5\r\n", "hello", "400");
    only("Content-Length: 0x5\r\n", "hello", "400");
    only("Content-Length: 18446744073709551617\r\n", "x", "400");
    only(" Content-Length: 5\r\n", "hello", "400");
    only("A: b\r\n Content-Length: 5\r\n", "hello", "400");
    only("A: b\r\n\tfolded\r\n", "", "400");
    only("A: b\nContent-Length: 5\r\n", "hello", "400");
    only("A: b\rContent-Length: 5\r\n", "hello", "400");
    only("A: b\r\r\nContent-Length: 5\r\n", "hello", "400");
    only("no colon\r\n", "", "400");
    only(": empty name\r\n", "", "400");
    only(std::string{"A: b"} + '\0' + "\r\n", "", "400");
    only("A\x01: b\r\n", "", "400");
    only("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n", "400");
    only("Transfer-Encoding: gzip\r\n", "0\r\n\r\n", "400");
    only("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", "400");
    only("Transfer-Encoding : chunked\r\n", "0\r\n\r\n", "400");
    only("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n", "400");
    only("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", "501");
    only("Transfer-Encoding:\x0b chunked\r\n", "0\r\n\r\n", "400");
    only("Host: h2\r\n", "", "400");
    only("Expect: x\r\n", "", "417");
    only("Transfer-Encoding: chunked\r\n", "5 \r\nhello\r\n0\r\n\r\n", "malformed body");
    only("Transfer-Encoding: chunked\r\n", "5\nhello\r\n0\r\n\r\n", "malformed body");
    only("Transfer-Encoding: chunked\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "malformed body");
    only("Transfer-Encoding: chunked\r\n", "0\r\n\n", "malformed body");
    only("Transfer-Encoding: chunked\r\n", "1\r\nxy\r\n0\r\n\r\n", "malformed body");
}

TEST_CASE("HTTP/1.0 has no chunked bodies", "[http_requests][rfc9112-6.1]") {
    CHECK(read("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + std::string{smuggled}) ==
          Lines{"400"});
    CHECK(read("POST / HTTP/1.0\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nab" + std::string{smuggled}) ==
          Lines{"POST / 2", "  ab", "GET /smuggled 1"});
}

TEST_CASE("a request replaces all of the one before", "[http_requests]") {
    ServerHandshake handshake{HandshakeLimits{}};
    handshake.serve_http();
    const auto first = "GET /a-long-target-of-the-first-request HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\n\r\n";
    auto verdict = handshake.receive(bytes_of(std::string_view{first}));
    CHECK(handshake.is_empty() == false);
    handshake.next_request(std::get<ServerHandshake::Plain>(std::move(verdict)).request);
    CHECK(handshake.is_empty());
    verdict = handshake.receive(bytes_of(std::string_view{"PUT /b HTTP/1.0\r\nC: 3\r\n\r\n"}));
    const auto& second = std::get<ServerHandshake::Plain>(verdict).request;
    CHECK(second.method == "PUT");
    CHECK(second.target == "/b");
    CHECK(second.version == 10);
    CHECK(second.fields == std::vector<HttpField>{{"C", "3"}});
}

TEST_CASE("each request has the limits of a header", "[http_requests]") {
    ServerHandshake handshake{HandshakeLimits{.max_header = 100}};
    handshake.serve_http();
    const std::string request = "GET / HTTP/1.1\r\nHost: h\r\nA: " + std::string(40, 'a') + "\r\n\r\n";
    for (int i = 0; i < 5; ++i) {
        CHECK(std::holds_alternative<ServerHandshake::Plain>(handshake.receive(bytes_of(request))));
        handshake.next_request();
    }
    const auto verdict = handshake.receive(bytes_of("GET /" + std::string(100, 'a')));
    CHECK(std::get<ServerHandshake::Refused>(verdict).error == Errc::request_header_too_large);
}
