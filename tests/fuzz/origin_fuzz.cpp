// Origins with any bytes, in the Origin field and in the list of allowed ones.
#include <algorithm>
#include <string>
#include <vector>

#include "fuzz_input.hpp"
#include "wsserver/handshake/origin.hpp"

using namespace wsserver;
using fuzz::FuzzInput;
using fuzz::require;
using Strings = std::vector<std::string>;

namespace {

constexpr std::string_view pieces[] = {"http://",
                                       "https://",
                                       "ws://",
                                       "example.com",
                                       "a.",
                                       "*",
                                       "null",
                                       ":80",
                                       ":443",
                                       ":8080",
                                       "[::1]",
                                       "/",
                                       "@",
                                       ",",
                                       " ",
                                       "A",
                                       "http",
                                       "://",
                                       ":",
                                       "evil",
                                       ":00080",
                                       "#",
                                       "chrome-extension://"};

bool allowed(const std::string& origin, const std::string& host, const Strings& list) {
    Offer offer;
    offer.origin = origin;
    offer.request.fields.push_back({"Host", host});
    return !check_offer(offer, {list, {}}, false);
}

std::string upper_case(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
    return text;
}

std::string part_of(FuzzInput& input) {
    FuzzInput part{input.take(input.byte() % 24)};
    return fuzz::text_from(part, pieces);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    FuzzInput input{{data, size}};
    const auto origin = part_of(input), host = part_of(input), entry = part_of(input), other = part_of(input);
    const bool own = allowed(origin, host, {});
    const bool listed = allowed(origin, host, {entry});
    require(allowed("", host, {entry}), "a client without an Origin field is allowed");
    require(allowed(origin, host, {"*"}), "a star allows all origins");
    if (origin.find('*') == std::string::npos && is_origin(origin)) {
        require(allowed(origin, host, {origin}), "an origin in the list is allowed");
    }
    require(!own || listed, "a list only adds origins");
    require(allowed(origin, host, {entry, other}) == (listed || allowed(origin, host, {other})),
            "a list allows what one of its entries allows");
    require(allowed(upper_case(origin), host, {entry}) == listed, "the case of an origin does not matter");
    require(allowed(origin, upper_case(host), {entry}) == listed, "the case of a host does not matter");
    require(allowed(origin, host, {upper_case(entry)}) == listed, "the case of an entry does not matter");
    if (own && !origin.empty()) require(is_origin(origin), "the server's own origin is an origin");
    return 0;
}
