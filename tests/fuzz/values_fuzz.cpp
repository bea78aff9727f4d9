// Queries, cookies, percent-encoding and the fields of proxies with any bytes. Single values agree with the list of
// all, and a client cannot choose its address.
#include <algorithm>
#include <string>

#include "fuzz_input.hpp"
#include "wsserver/handshake/http_values.hpp"
#include "wsserver/handshake/proxies.hpp"

using namespace wsserver;
using fuzz::require;

namespace {

constexpr std::string_view pieces[] = {"/",        "?",
                                       "&",        "=",
                                       "+",        "%",
                                       "%2",       "%41",
                                       "%00",      "%zz",
                                       "a",        "b=",
                                       "a=1",      ";",
                                       "; ",       "\"",
                                       " ",        "\t",
                                       ",",        "a=\"1\"",
                                       "#",        "A",
                                       "%61",      "\\=",
                                       "\xc3",     "for=",
                                       "10.0.0.1", "192.0.2.1",
                                       "[::1]",    "fd00::1",
                                       ":80",      "unknown",
                                       "_x",       "unix",
                                       "\\",       "\\\"",
                                       "/8",       "::ffff:10.0.0.0"};

void check_encoding(std::string_view text) {
    const auto encoded = percent_encoded(text);
    require(percent_decoded(encoded) == text, "text is the same after encoding and decoding");
    const auto decoded = percent_decoded(text);
    if (decoded) require(decoded->size() <= text.size(), "decoding never adds bytes");
    require(query_value("/?" + encoded + "=" + encoded, text) == text, "an encoded name and value are found");
}

void check_query(std::string_view target) {
    const auto path = path_of(target), query = query_of(target);
    require(path.find('?') == std::string_view::npos, "a path has no query");
    require(path.size() + query.size() + 1 >= target.size(), "a target is a path and a query");
    for (const auto name : pieces) {
        if (const auto value = query_value(target, name)) require(value->size() <= query.size(), "a value is a part");
    }
    const auto pairs = query_pairs(target);
    if (!pairs) return require(query.find('%') != std::string_view::npos, "only escapes are malformed");
    for (const auto& pair : *pairs) {
        const auto first =
            std::find_if(pairs->begin(), pairs->end(), [&](const auto& p) { return p.first == pair.first; });
        require(query_value(target, pair.first) == first->second, "a name has its first value");
    }
}

void check_cookies(std::string_view text, fuzz::FuzzInput cuts) {
    HttpRequest request;
    const auto cut = cuts.below(text.size() + 1);
    request.fields.push_back({"Cookie", std::string{text.substr(0, cut)}});
    request.fields.push_back({"X", std::string{text}});
    request.fields.push_back({"cookie", std::string{text.substr(cut)}});
    for (const auto name : pieces) {
        const auto value = cookie(request, name);
        if (!value) continue;
        require(text.find(name) != std::string_view::npos, "a cookie's name is in a field");
        require(value->find(';') == std::string_view::npos, "a cookie ends at a semicolon");
    }
}

void check_set_cookie(std::string_view name, std::string_view value) {
    const auto field = set_cookie(name, value);
    if (!field) return require(!field.error().empty() && field.error().find('\n') == std::string::npos, "one line");
    require(std::count(field->begin(), field->end(), ';') == 3, "a value does not add attributes");
    HttpRequest request;
    request.fields.push_back({"Cookie", "x=y; " + field->substr(0, field->find(';'))});
    require(name == "x" || cookie(request, name) == value, "a cookie is returned as it was set");
}

void check_list(std::string_view text, std::string_view peer) {
    const auto proxies = TrustedProxies::parse({"127.0.0.1", std::string{text}});
    if (!proxies)
        return require(!proxies.error().empty() && proxies.error().find('\n') == std::string::npos, "one line");
    require(proxies->trusts("127.0.0.1:80") && !proxies->empty(), "the other entries are trusted");
    require(*proxies == *TrustedProxies::parse({"127.0.0.1", std::string{text}}), "the same list is equal");
    if (text.find('/') == std::string_view::npos && text != "unix") {
        const bool ipv6 = text.find(':') != std::string_view::npos;
        require(proxies->trusts(ipv6 ? "[" + std::string{text} + "]:80" : std::string{text} + ":80"),
                "trusts an entry");
    }
    static_cast<void>(proxies->trusts(peer));
}

void check_client_address(std::string_view text, fuzz::FuzzInput cuts) {
    static const auto proxies = *TrustedProxies::parse({"127.0.0.1", "10.0.0.0/8", "fd00::/8", "unix"});
    const auto cut = cuts.below(text.size() + 1);
    for (const auto* const name : {"Forwarded", "X-Forwarded-For", "X-Real-IP"}) {
        HttpRequest request;
        request.fields.push_back({name, std::string{text.substr(0, cut)}});
        request.fields.push_back({name, std::string{text.substr(cut)}});
        require(!client_address("192.0.2.9:80", request, proxies, name), "an untrusted peer changes nothing");
        require(!client_address(text, request, TrustedProxies{}, name), "without proxies nothing changes");
        if (const auto client = client_address("unix:", request, proxies, name)) {
            HttpRequest again;
            again.fields.push_back({"X-Real-IP", *client});
            require(client_address("127.0.0.1:1", again, proxies, "X-Real-IP") == client,
                    "a client is written as it was parsed");
        }
        // The element that a trusted proxy appends decides, whatever is before it.
        const std::string own = name == std::string_view{"Forwarded"} ? "for=\"192.0.2.7:80\"" : "192.0.2.7:80";
        request.fields.push_back({name, own});
        require(client_address("10.0.0.1:1", request, proxies, name) == "192.0.2.7:80",
                "a client cannot choose its address");
        if (name != std::string_view{"X-Real-IP"}) {
            request.fields = {{name, std::string{text} + ", " + own}};
            require(client_address("10.0.0.1:1", request, proxies, name) == "192.0.2.7:80", "nor in the same field");
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::FuzzInput input{{data, size}};
    const auto text = fuzz::text_from(input, pieces);
    const fuzz::ExactCopy copy{bytes_of(text)};
    const auto exact = text_of(copy.bytes());
    check_encoding(exact);
    check_query(exact);
    check_query("/?" + text);
    check_cookies(exact, fuzz::FuzzInput{{data, size}});
    check_set_cookie(path_of(exact), query_of(exact));
    check_set_cookie("a", exact);
    check_list(exact, exact);
    check_client_address(exact, fuzz::FuzzInput{{data, size}});
    return 0;
}
