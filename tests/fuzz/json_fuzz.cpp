// JSON with any text. A small reader of JSON gets back what was written.
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "fuzz_input.hpp"
#include "wsserver/base/utf8_character.hpp"
#include "wsserver/control/json.hpp"

using namespace wsserver;
using fuzz::FuzzInput;
using fuzz::require;
using Strings = std::vector<std::string>;

namespace {

std::string utf8_of(char32_t code) {
    const auto continuation = [&](unsigned shift) { return static_cast<char>(0x80 | (code >> shift & 0x3F)); };
    if (code < 0x80) return {static_cast<char>(code)};
    if (code < 0x800) return {static_cast<char>(0xC0 | code >> 6), continuation(0)};
    require(code < 0x10000, "an escape has 16 bits");
    return {static_cast<char>(0xE0 | code >> 12), continuation(6), continuation(0)};
}

/// Reads objects, arrays, strings, numbers and the three words by the grammar of RFC 8259, and collects all strings.
class JsonReader {
   public:
    explicit JsonReader(std::string_view text) : rest_(text) {}

    Strings read() {
        value();
        require(rest_.empty(), "nothing follows the value");
        return strings_;
    }

   private:
    bool take(std::string_view text) {
        if (!rest_.starts_with(text)) return false;
        rest_.remove_prefix(text.size());
        return true;
    }

    void value() {
        if (take("{")) return members('}');
        if (take("[")) return members(']');
        if (rest_.starts_with('"')) return string();
        if (take("true") || take("false") || take("null")) return;
        double number = 0;
        const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), number);
        require(error == std::errc{}, "a value begins here");
        rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    }

    void members(char end) {
        if (take({&end, 1})) return;
        do {
            if (end == '}') {
                string();
                require(take(":"), "a colon follows the key");
            }
            value();
        } while (take(","));
        require(take({&end, 1}), "an object or array is closed");
    }

    void string() {
        require(take("\""), "a string begins here");
        std::string text;
        while (!take("\"")) {
            require(!rest_.empty(), "a string is closed");
            text += take("\\") ? escape() : character();
        }
        strings_.push_back(std::move(text));
    }

    std::string escape() {
        require(!rest_.empty(), "an escape is complete");
        const char kind = rest_.front();
        rest_.remove_prefix(1);
        if (kind == '"' || kind == '\\') return {kind};
        if (kind == 'n') return "\n";
        if (kind == 'r') return "\r";
        if (kind == 't') return "\t";
        require(kind == 'u' && rest_.size() >= 4, "an escape is known");
        unsigned code = 0;
        require(std::from_chars(rest_.data(), rest_.data() + 4, code, 16).ptr == rest_.data() + 4, "four digits");
        rest_.remove_prefix(4);
        return utf8_of(code);
    }

    std::string character() {
        const auto next = first_character(rest_);
        require(next.valid && !is_deceptive(next.code), "a character is UTF-8 and safe to show");
        const std::string bytes{rest_.substr(0, next.length)};
        rest_.remove_prefix(next.length);
        return bytes;
    }

    std::string_view rest_;
    Strings strings_;
};

/// `text` with U+FFFD for each byte that is not UTF-8.
std::string as_utf8(std::string_view text) {
    std::string result;
    while (!text.empty()) {
        const auto character = first_character(text);
        result += character.valid ? text.substr(0, character.length) : "\xef\xbf\xbd";
        text.remove_prefix(character.length);
    }
    return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    FuzzInput input{{data, size}};
    const auto number = static_cast<std::int64_t>(input.below(65536)) - 32768;
    Strings expected;
    std::vector<std::string> written;
    JsonObject object;
    while (!input.empty()) {
        const fuzz::ExactCopy copy{input.take(input.byte())};
        const auto text = text_of(copy.bytes());
        expected.push_back(as_utf8(text));
        written.push_back(json_string(text));
        object.add(std::to_string(written.size()), text);
    }
    require(JsonReader{json_array(written)}.read() == expected, "an array has its strings");

    object.add("number", number).add("flag", input.flag()).add("none", std::nullopt);
    object.add("time", std::chrono::microseconds{number}).add("rounded", static_cast<double>(number) / 7, 2);
    const auto members = JsonReader{JsonObject{}.raw("inner", object.text()).text()}.read();
    require(members.size() == 1 + 2 * expected.size() + 5, "an object has its members");
    for (std::size_t i = 0; i < expected.size(); ++i) {
        require(members[2 + 2 * i] == expected[i], "a member has its value");
    }
    return 0;
}
