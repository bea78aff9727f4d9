// Queries, cookies and percent-encoding with any bytes. Single values agree with the list of all.
#include <algorithm>
#include <string>

#include "fuzz_input.hpp"
#include "wsserver/handshake/http_values.hpp"

using namespace wsserver;
using fuzz::require;

namespace {

constexpr std::string_view pieces[] = {"/",   "?",       "&",  "=",   "+",   "%",   "%2",  "%41", "%00",
                                       "%zz", "a",       "b=", "a=1", ";",   "; ",  "\"",  " ",   "\t",
                                       ",",   "a=\"1\"", "#",  "A",   "%61", "\\=", "\xc3"};

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
    return 0;
}
