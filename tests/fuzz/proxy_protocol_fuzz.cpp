// The header of the PROXY protocol with any bytes. The verdict is the same wherever they are cut, and no byte after the
// header is read.
#include <algorithm>
#include <string>

#include "fuzz_input.hpp"
#include "wsserver/handshake/proxies.hpp"
#include "wsserver/handshake/proxy_protocol.hpp"

using namespace wsserver;
using fuzz::require;
using namespace std::string_view_literals;

namespace {

constexpr std::string_view pieces[] = {
    "TCP4", "TCP6", "UNKNOWN", " ", "192.0.2.1", "127.0.0.1", "::1", "2001:db8::1", "::ffff:10.0.0.1",
    "5000", "80",   "65536",   "0", "00",        "\r\n",      "\r",  "\n",          "PROXY ",
    "\0"sv};

/// Of version 1, of version 2, or any bytes.
std::string header_from(fuzz::FuzzInput& input) {
    const auto kind = input.byte() % 4;
    if (kind == 0) return std::string{text_of(input.rest())};
    if (kind == 1) return "PROXY " + fuzz::text_from(input, pieces);
    std::string header{"\r\n\r\n\0\r\nQUIT\n"sv};
    const std::string_view families{"\x00\x11\x21\x31\x12\x22\x32\x41\x13", 9};
    header += kind == 2 ? static_cast<char>(0x20 + input.below(2)) : static_cast<char>(input.byte());
    header += kind == 2 ? families[input.below(families.size())] : static_cast<char>(input.byte());
    const std::size_t lengths[] = {0, 12, 36, 216, 11, 35, 215, 2048, 2049, input.below(65536)};
    const auto length = lengths[input.below(std::size(lengths))];
    header += {static_cast<char>(length >> 8), static_cast<char>(length & 0xFF)};
    std::string content{text_of(input.take(300))};
    if (input.flag()) content.resize(length);
    return header + content;
}

struct Outcome {
    ProxyProtocolReader::Verdict verdict{};
    std::size_t consumed = 0;
};

/// Gives `bytes` in pieces of at most `longest` bytes until there is a verdict.
Outcome receive_pieces(Bytes bytes, fuzz::FuzzInput input, std::size_t longest) {
    ProxyProtocolReader reader;
    Outcome outcome;
    while (outcome.consumed < bytes.size() && std::holds_alternative<ProxyProtocolReader::NeedMore>(outcome.verdict)) {
        const auto rest = bytes.subspan(outcome.consumed);
        const fuzz::ExactCopy piece{
            rest.first(std::min(rest.size(), input.empty() ? longest : 1 + input.below(longest)))};
        outcome.verdict = reader.receive(piece.bytes());
        const bool more = std::holds_alternative<ProxyProtocolReader::NeedMore>(outcome.verdict);
        require(more ? reader.consumed() == piece.bytes().size() : reader.consumed() <= piece.bytes().size(),
                "reads all bytes until the verdict");
        outcome.consumed += reader.consumed();
    }
    return outcome;
}

void check_address(const std::string& address) {
    if (address.starts_with("unix:")) return require(address.find('\0') == std::string::npos, "a path ends at a zero");
    HttpRequest request;
    request.fields.push_back({"X-Real-IP", address});
    static const auto proxies = *TrustedProxies::parse({"unix"});
    require(client_address("unix:", request, proxies, "X-Real-IP") == address, "an address is written as a peer is");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::FuzzInput input{{data, size}};
    const auto text = header_from(input) + "GET / HTTP/1.1\r\n";
    const auto whole = receive_pieces(bytes_of(text), fuzz::FuzzInput{{}}, text.size());
    for (const std::size_t longest : {std::size_t{1}, std::size_t{40}, std::size_t{3000}}) {
        const auto cut = receive_pieces(bytes_of(text), fuzz::FuzzInput{{data, size}}, longest);
        require(cut.verdict.index() == whole.verdict.index(), "cuts do not change the verdict");
        require(cut.consumed == whole.consumed, "cuts do not change the end of the header");
        if (const auto* done = std::get_if<ProxyProtocolReader::Done>(&whole.verdict)) {
            require(std::get<ProxyProtocolReader::Done>(cut.verdict).address == done->address, "nor the address");
        }
    }
    if (const auto* done = std::get_if<ProxyProtocolReader::Done>(&whole.verdict)) {
        const auto most =
            text.starts_with('P') ? ProxyProtocolReader::max_version_1 : ProxyProtocolReader::max_version_2;
        require(whole.consumed <= most, "a header is bounded");
        if (done->address) check_address(*done->address);
    }
    return 0;
}
