#include "wsserver/handshake/proxy_protocol.hpp"

#include "support/catch.hpp"

using namespace wsserver;
using namespace std::string_view_literals;
using Address = std::optional<std::string>;
using Verdict = ProxyProtocolReader::Verdict;
using NeedMore = ProxyProtocolReader::NeedMore;
using Done = ProxyProtocolReader::Done;
using Malformed = ProxyProtocolReader::Malformed;

namespace {

constexpr auto signature = "\r\n\r\n\0\r\nQUIT\n"sv;
constexpr char local = '\x20', proxy = '\x21';

/// A header of version 2.
std::string version_2(char command, char family, std::string_view content) {
    std::string header{signature};
    header += {command, family, static_cast<char>(content.size() >> 8), static_cast<char>(content.size() & 0xFF)};
    return header += content;
}

/// The addresses of a header for Unix sockets.
std::string unix_addresses(std::string_view source, std::string_view destination) {
    std::string text{source};
    text.resize(108);
    text += destination;
    text.resize(216);
    return text;
}

const auto ipv4_addresses = "\xC0\x00\x02\x01\x7F\x00\x00\x01\x13\x88\x00\x50"sv;  // 192.0.2.1:5000 to 127.0.0.1:80
const auto ipv6_addresses =
    "\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x01"
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
    "\x13\x88\x00\x50"sv;

/// Checks that the header ends where it should, wherever it is cut, and that no byte after it is read. Returns the
/// address.
Address done(std::string_view header) {
    CAPTURE(header);
    const auto bytes = std::string{header} + "GET / HTTP/1.1\r\n";
    Address address;
    for (std::size_t cut = 0; cut <= header.size(); ++cut) {
        CAPTURE(cut);
        ProxyProtocolReader reader;
        auto verdict = reader.receive(bytes_of(bytes).first(cut));
        REQUIRE(reader.consumed() == cut);
        if (cut < header.size()) {
            REQUIRE(std::holds_alternative<NeedMore>(verdict));
            verdict = reader.receive(bytes_of(bytes).subspan(cut));
            REQUIRE(reader.consumed() == header.size() - cut);
        }
        REQUIRE(std::holds_alternative<Done>(verdict));
        if (cut > 0) REQUIRE(std::get<Done>(verdict).address == address);
        address = std::get<Done>(verdict).address;
    }
    ProxyProtocolReader dripped;
    for (std::size_t i = 0; i < header.size(); ++i) {
        const auto verdict = dripped.receive(bytes_of(bytes).subspan(i, 1));
        REQUIRE(std::holds_alternative<Done>(verdict) == (i + 1 == header.size()));
        if (const auto* last = std::get_if<Done>(&verdict)) REQUIRE(last->address == address);
    }
    return address;
}

/// Checks that `bytes` are malformed, and that this is known at the same byte wherever they are cut. Returns the text.
/// `after` is the number of bytes that are read.
std::string_view malformed(std::string_view bytes, std::size_t after) {
    CAPTURE(bytes);
    ProxyProtocolReader whole;
    const auto verdict = whole.receive(bytes_of(bytes));
    REQUIRE(std::holds_alternative<Malformed>(verdict));
    CHECK(whole.consumed() == after);
    ProxyProtocolReader dripped;
    for (std::size_t i = 0; i < after; ++i) {
        const auto again = dripped.receive(bytes_of(bytes).subspan(i, 1));
        REQUIRE(std::holds_alternative<Malformed>(again) == (i + 1 == after));
        REQUIRE(dripped.consumed() == 1);
    }
    return std::get<Malformed>(verdict).text;
}

/// Same, for bytes that are malformed at their end.
std::string_view malformed(std::string_view bytes) { return malformed(bytes, bytes.size()); }

}  // namespace

// --- version 1 ---

TEST_CASE("a line names the client", "[proxy_protocol]") {
    CHECK(done("PROXY TCP4 192.0.2.1 127.0.0.1 5000 80\r\n") == "192.0.2.1:5000");
    CHECK(done("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n") == "255.255.255.255:65535");
    CHECK(done("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n") == "0.0.0.0:0");
    CHECK(done("PROXY TCP6 2001:DB8::1 ::1 5000 80\r\n") == "[2001:db8::1]:5000");
    CHECK(done("PROXY TCP6 ::ffff:192.0.2.1 ::1 5000 80\r\n") == "192.0.2.1:5000");
}

TEST_CASE("a line for an unknown client has no address", "[proxy_protocol]") {
    CHECK_FALSE(done("PROXY UNKNOWN\r\n"));
    CHECK_FALSE(done("PROXY UNKNOWN \r\n"));
    CHECK_FALSE(done("PROXY UNKNOWN any \x01\xFF bytes\r\n"));
    CHECK_FALSE(
        done("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
             "65535\r\n"));
}

TEST_CASE("a line has at most 107 bytes", "[proxy_protocol]") {
    const auto line = "PROXY UNKNOWN " + std::string(ProxyProtocolReader::max_version_1 - 16, 'x');
    CHECK_FALSE(done(line + "\r\n"));
    CHECK(malformed(line + "x\r\n", 107) == "the line of the PROXY protocol is longer than 107 bytes");
    malformed(line + "xx", 107);
    malformed(line + std::string(1000000, 'x'), 107);
}

TEST_CASE("a malformed line is refused", "[proxy_protocol]") {
    for (const auto line : {""sv,
                            "TCP4"sv,
                            "TCP4 "sv,
                            "TCP4 192.0.2.1"sv,
                            "TCP4 192.0.2.1 127.0.0.1"sv,
                            "TCP4 192.0.2.1 127.0.0.1 5000"sv,
                            "TCP4 192.0.2.1 127.0.0.1 5000 "sv,
                            "TCP4 192.0.2.1 127.0.0.1 5000 80 "sv,
                            "TCP4 192.0.2.1 127.0.0.1 5000 80 x"sv,
                            "TCP4  192.0.2.1 127.0.0.1 5000 80"sv,
                            " TCP4 192.0.2.1 127.0.0.1 5000 80"sv,
                            "TCP4 192.0.2.1 127.0.0.1  5000 80"sv,
                            "TCP4\t192.0.2.1 127.0.0.1 5000 80"sv,
                            "tcp4 192.0.2.1 127.0.0.1 5000 80"sv,
                            "TCP5 192.0.2.1 127.0.0.1 5000 80"sv,
                            "UDP4 192.0.2.1 127.0.0.1 5000 80"sv,
                            "UNKNOWNx"sv,
                            "unknown"sv,
                            "TCP4 192.0.2.256 127.0.0.1 5000 80"sv,
                            "TCP4 192.0.2.1 127.0.0 5000 80"sv,
                            "TCP4 192.0.2.1 127.0.0.1 65536 80"sv,
                            "TCP4 192.0.2.1 127.0.0.1 5000 65536"sv,
                            "TCP4 192.0.2.1 127.0.0.1 05000 80"sv,
                            "TCP4 192.0.2.1 127.0.0.1 -1 80"sv,
                            "TCP4 192.0.2.1 127.0.0.1 +1 80"sv,
                            "TCP4 192.0.2.1 127.0.0.1 x 80"sv,
                            "TCP4 192.0.2.1 127.0.0.1 5000 80\0"sv,
                            "TCP4 192.0.2.1\0 127.0.0.1 5000 80"sv,
                            "TCP4 ::1 127.0.0.1 5000 80"sv,
                            "TCP4 192.0.2.1 ::1 5000 80"sv,
                            "TCP6 192.0.2.1 ::1 5000 80"sv,
                            "TCP6 ::1 127.0.0.1 5000 80"sv,
                            "TCP6 [::1] ::1 5000 80"sv,
                            "TCP6 fe80::1%lo ::1 5000 80"sv,
                            "TCP4 localhost 127.0.0.1 5000 80"sv}) {
        CHECK(malformed("PROXY " + std::string{line} + "\r\n") == "the line of the PROXY protocol is malformed");
    }
}

TEST_CASE("a line ends with CR LF only", "[proxy_protocol]") {
    for (const auto line : {"PROXY \n"sv, "PROXY UNKNOWN\n"sv, "PROXY UNKNOWN\rx"sv, "PROXY UNKNOWN\r\r"sv,
                            "PROXY TCP4 192.0.2.1 127.0.0.1 5000 80\n"sv, "PROXY UNKNOWN \n"sv}) {
        CHECK(malformed(line) == "the line of the PROXY protocol must end with CR LF");
    }
}

TEST_CASE("other bytes are refused at the first that differs", "[proxy_protocol]") {
    CHECK(malformed("GET / HTTP/1.1\r\n", 1) == "the header of the PROXY protocol is missing");
    malformed("proxy", 1);
    malformed("POST", 2);
    malformed("PROXYTCP4", 6);
    malformed("PROXY\r\n", 6);
    malformed("\n", 1);
    malformed("\r\nG", 3);
    malformed("\0"sv, 1);
    malformed("\x16\x03\x01", 1);
    for (std::size_t i = 0; i < signature.size(); ++i) {
        std::string wrong{signature};
        wrong[i] = 'x';
        malformed(wrong, i + 1);
    }
}

TEST_CASE("no bytes are not a header yet", "[proxy_protocol]") {
    ProxyProtocolReader reader;
    CHECK(std::holds_alternative<NeedMore>(reader.receive({})));
    CHECK(reader.consumed() == 0);
}

// --- version 2 ---

TEST_CASE("a binary header names the client", "[proxy_protocol]") {
    CHECK(done(version_2(proxy, '\x11', ipv4_addresses)) == "192.0.2.1:5000");
    CHECK(done(version_2(proxy, '\x21', ipv6_addresses)) == "[2001:db8::1]:5000");
    CHECK(done(version_2(proxy, '\x12', ipv4_addresses)) == "192.0.2.1:5000");
    CHECK(done(version_2(proxy, '\x22', ipv6_addresses)) == "[2001:db8::1]:5000");
    std::string mapped(36, '\0');
    mapped.replace(10, 6, "\xFF\xFF\xC0\x00\x02\x01"sv);
    CHECK(done(version_2(proxy, '\x21', mapped)) == "192.0.2.1:0");
}

TEST_CASE("a client at a Unix socket has the path of its socket", "[proxy_protocol]") {
    CHECK(done(version_2(proxy, '\x31', unix_addresses("/run/a.sock", "/run/b.sock"))) == "unix:/run/a.sock");
    CHECK(done(version_2(proxy, '\x31', unix_addresses("", "/run/b.sock"))) == "unix:");
    CHECK(done(version_2(proxy, '\x31', unix_addresses("\0name"sv, ""))) == "unix:@name");
    const std::string longest(108, 'x');
    CHECK(done(version_2(proxy, '\x31', unix_addresses(longest, "y"))) == "unix:" + longest);
    CHECK(done(version_2(proxy, '\x32', unix_addresses("a\0b"sv, ""))) == "unix:a");
}

TEST_CASE("a health check and an unknown client have no address", "[proxy_protocol]") {
    CHECK_FALSE(done(version_2(local, '\0', "")));
    CHECK_FALSE(done(version_2(local, '\x11', ipv4_addresses)));
    CHECK_FALSE(done(version_2(local, '\xFF', "ignored")));
    CHECK_FALSE(done(version_2(proxy, '\0', "")));
    CHECK_FALSE(done(version_2(proxy, '\0', "ignored")));
    CHECK_FALSE(done(version_2(proxy, '\x01', "")));
    CHECK_FALSE(done(version_2(proxy, '\x10', ipv4_addresses)));
}

TEST_CASE("extensions are skipped", "[proxy_protocol]") {
    const std::string authority =
        "\x02\x00\x0B"
        "example.com";
    CHECK(done(version_2(proxy, '\x11', std::string{ipv4_addresses} + authority)) == "192.0.2.1:5000");
    CHECK(done(version_2(proxy, '\x31', unix_addresses("/run/a.sock", "") + authority)) == "unix:/run/a.sock");
    CHECK_FALSE(done(version_2(local, '\0', authority)));
}

TEST_CASE("a binary header has at most 2064 bytes", "[proxy_protocol]") {
    std::string content{ipv4_addresses};
    content.resize(2048, 'x');
    CHECK(done(version_2(proxy, '\x11', content)) == "192.0.2.1:5000");
    for (const std::size_t size : {std::size_t{2049}, std::size_t{65535}}) {
        content.resize(size, 'x');
        CHECK(malformed(version_2(proxy, '\x11', content), 16) ==
              "the header of the PROXY protocol is longer than 2064 bytes");
        malformed(version_2(local, '\0', content), 16);
    }
}

TEST_CASE("a header that is too short for its addresses is refused", "[proxy_protocol]") {
    const std::string content(216, 'x');
    for (const auto& [family, size] : std::initializer_list<std::pair<char, std::size_t>>{
             {'\x11', 12}, {'\x12', 12}, {'\x21', 36}, {'\x22', 36}, {'\x31', 216}, {'\x32', 216}}) {
        CHECK(done(version_2(proxy, family, content.substr(0, size))).has_value());
        for (const auto less : {std::size_t{0}, size - 1}) {
            CHECK(malformed(version_2(proxy, family, content.substr(0, less)), 16) ==
                  "the header of the PROXY protocol is too short for its addresses");
        }
    }
}

TEST_CASE("unknown versions, commands, families and transports are refused", "[proxy_protocol]") {
    for (unsigned byte = 0; byte < 256; ++byte) {
        CAPTURE(byte);
        const auto c = static_cast<char>(byte);
        if (c != local && c != proxy) {
            CHECK(malformed(version_2(c, '\x11', ipv4_addresses), 13) ==
                  "the PROXY protocol has an unknown version or command");
        }
        if (byte >> 4 > 3 || (byte & 0xF) > 2) {
            CHECK(malformed(version_2(proxy, c, unix_addresses("", "")), 14) ==
                  "the PROXY protocol has an unknown family or transport");
        }
    }
}
