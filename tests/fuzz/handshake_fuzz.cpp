// The opening handshake of both roles with any bytes. The verdict is the same wherever they are cut, every response is
// well formed, and accepted requests satisfy the RFC.
#include <string>

#include "fuzz_input.hpp"
#include "support/http.hpp"
#include "wsserver/handshake/handshake.hpp"
#include "wsserver/handshake/origin.hpp"

using namespace wsserver;
using fuzz::require;

namespace {

/// Lines that reach most rules. A fuzzer would need long to find them.
constexpr std::string_view pieces[] = {
    "GET / HTTP/1.1\r\n",
    "GET ws://a:80/b?c HTTP/1.1\r\n",
    "HEAD / HTTP/1.0\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 400 Bad Request\r\n",
    "Host: example.com\r\n",
    "Upgrade: websocket\r\n",
    "Connection: keep-alive, Upgrade\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "Sec-WebSocket-Version: 13\r\n",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
    "Sec-WebSocket-Protocol: chat, superchat\r\n",
    "Sec-WebSocket-Extensions: a; b=\"c\", d\r\n",
    "Origin: http://example.com\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
};

std::string message_from(fuzz::FuzzInput& input) {
    std::string text;
    // The lines of most requests and responses. Each may be missing.
    const auto kind = input.byte();
    const std::size_t likely[2][8] = {{0, 6, 7, 8, 9, 10, 12, 17}, {3, 7, 8, 11, 12, 13, 16, 17}};
    for (std::size_t i = 0; i < 8; ++i) {
        if (input.byte() > 20) text += pieces[likely[kind % 2][i]];
    }
    for (auto changes = input.below(12); changes > 0 && !input.empty(); --changes) {
        const auto at = input.below(text.size() + 1);
        switch (input.below(4)) {
            case 0:
                text.insert(at, pieces[input.below(std::size(pieces))]);
                break;
            case 1:
                text.insert(at, text_of(input.take(input.byte())));
                break;
            case 2:
                text.erase(at, input.byte());
                break;
            default:
                if (at < text.size()) text[at] = static_cast<char>(input.byte());
        }
    }
    return text;
}

/// Gives `text` in pieces of fuzzed lengths until there is a verdict.
template <class Handshake>
auto receive_in_pieces(Handshake& handshake, std::string_view text, fuzz::FuzzInput& input) {
    typename Handshake::Verdict verdict;
    std::size_t given = 0;
    while (given < text.size() && std::holds_alternative<typename Handshake::NeedMore>(verdict)) {
        const fuzz::ExactCopy piece{bytes_of(text.substr(given, 1 + input.below(40)))};
        verdict = handshake.receive(piece.bytes());
        require(handshake.consumed() <= piece.bytes().size(), "consumes at most the given bytes");
        given += handshake.consumed();
    }
    return verdict;
}

void check_server(std::string_view text, fuzz::FuzzInput& input) {
    const HandshakeLimits limits{400 + input.below(1000), 5 + input.below(20)};
    ServerHandshake whole{limits}, cut{limits};
    const fuzz::ExactCopy copy{bytes_of(text)};
    const auto verdict = whole.receive(copy.bytes());
    const auto again = receive_in_pieces(cut, text, input);
    require(verdict.index() == again.index(), "cuts do not change the server's verdict");
    if (const auto* refused = std::get_if<ServerHandshake::Refused>(&verdict)) {
        require(refused->response == std::get<ServerHandshake::Refused>(again).response,
                "cuts do not change the refusal");
        require(test::read_answer(refused->response).status == http_status_for(refused->error), "a refusal is HTTP");
    }
    if (const auto* upgrade = std::get_if<ServerHandshake::Upgrade>(&verdict)) {
        const auto& offer = upgrade->offer;
        require(whole.consumed() <= limits.max_header, "the header is within max_header");
        require(offer.request.fields.size() <= limits.max_fields, "the fields are within max_fields");
        require(offer.key.size() == 24 && offer.request.method == "GET" && offer.request.version == 11, "RFC 6455 4.1");
        require(offer.request.target.starts_with('/'), "a target is a path");
        const OriginRules rules{{"https://app.example", "https://*.app.example"}, {"example.com"}};
        for (const bool loopback : {false, true}) {
            const auto refused = check_offer(offer, rules, loopback);
            require(!refused || http_status_for(refused->error) >= 400, "a refused origin has a status");
        }
        const auto first = offer.subprotocols.empty() ? std::string{} : offer.subprotocols.front();
        const auto answer = test::read_answer(accept_response(offer, first, "wsd"));
        require(answer.status == 101 && answer.find("Sec-WebSocket-Protocol") == first, "an acceptance is HTTP");
    }
}

void check_client(std::string_view text, fuzz::FuzzInput& input) {
    ClientRequest request;
    request.host = "example.com";
    request.subprotocols = {"chat"};
    const std::string_view nonce = "the sample nonce";
    std::copy(nonce.begin(), nonce.end(), request.nonce.begin());
    ClientHandshake whole{request}, cut{request};
    auto verdict = whole.receive(bytes_of(text));
    auto again = receive_in_pieces(cut, text, input);
    if (std::holds_alternative<ClientHandshake::NeedMore>(verdict)) verdict = whole.receive_eof();
    if (std::holds_alternative<ClientHandshake::NeedMore>(again)) again = cut.receive_eof();
    require(verdict.index() == again.index(), "cuts do not change the client's verdict");
    if (const auto* accepted = std::get_if<ClientHandshake::Accepted>(&verdict)) {
        require(accepted->subprotocol.empty() || accepted->subprotocol == "chat", "the subprotocol was offered");
    }
    if (const auto* rejected = std::get_if<ClientHandshake::Rejected>(&verdict)) {
        const auto& other = std::get<ClientHandshake::Rejected>(again);
        require(rejected->error == other.error && rejected->text == other.text, "cuts do not change the reason");
        require(rejected->response.body == other.response.body, "cuts do not change the body");
        require(rejected->response.body.size() <= 64 * 1024, "the body is bounded");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::FuzzInput input{{data, size}};
    const auto text = size % 4 == 1 ? std::string{text_of({data, size})} : message_from(input);
    check_server(text, input);
    check_client(text, input);
    return 0;
}
