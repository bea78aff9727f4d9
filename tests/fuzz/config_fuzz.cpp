// Configurations with any bytes, and with lines that set known keys. Errors name a place, and a valid configuration is
// printed and read again with the same settings.
#include <string>
#include <vector>

#include "common/config.hpp"
#include "common/config_file.hpp"
#include "common/settings.hpp"
#include "fuzz_input.hpp"
#include "wsserver/base/utf8.hpp"

using namespace wsd;
using wsserver::fuzz::FuzzInput;
using wsserver::fuzz::require;

namespace {

constexpr std::string_view values[] = {"true",
                                       "1",
                                       "\"\"",
                                       "\"10s\"",
                                       "\"1MiB\"",
                                       "[]",
                                       "[\"echo\"]",
                                       "[\"*\", \"null\"]",
                                       "\"echo\"",
                                       "\"info\"",
                                       "{}",
                                       "-1",
                                       "1.5",
                                       "1979-05-27",
                                       "[\":80\"]",
                                       "\"\\u0000\\\"\"",
                                       "'literal'",
                                       "\"auto\"",
                                       "\"drop_oldest\"",
                                       "inf",
                                       "0x10",
                                       "[\"status\"]",
                                       "{ a = \"echo\" }",
                                       "\"a.so\"",
                                       "[[1], 2]",
                                       "\"https://a.b\"",
                                       "2",
                                       "100000",
                                       "\"\xc3\xa4\"",
                                       "\"\"\"a\nb\"\"\""};

constexpr std::string_view marks[] = {"\n",     "[", "]",        "[[", "]]",  "=",  "\"", "'",    "#",
                                      ".",      ",", "{",        "}",  "\\",  "\t", " ",  "\r\n", "\xef\xbb\xbf",
                                      "\"\"\"", "a", "handlers", "1",  "\x01"};

/// Lines such as `max_message = "1MiB"`, each in the table of its key, and pieces of TOML's grammar.
std::string toml_from(FuzzInput& input) {
    const auto known = settings();
    std::string text, table;
    while (!input.empty()) {
        const auto choice = input.byte();
        if (choice >= 64) {
            text += choice < 240 ? marks[choice % std::size(marks)] : wsserver::text_of(input.take(choice % 16));
            continue;
        }
        const auto key = std::string{known[input.below(known.size())].key};
        const auto dot = key.find('.');
        const auto wanted = dot == std::string::npos ? std::string{} : key.substr(0, dot);
        if (wanted != table && !wanted.empty()) text += "\n[" + wanted + "]\n";
        table = wanted.empty() ? table : wanted;
        text += key.substr(dot + 1) + " = ";
        text += values[input.below(std::size(values))];
        text += '\n';
    }
    return text;
}

const Places places{"/nowhere/wsd.toml", "/var/spool/wsd", "/run/wsd/wsd.pid", "/usr/lib/wsd/handlers"};

void check_errors(const ConfigErrors& errors) {
    for (const auto& error : errors) {
        require(error.starts_with("wsd.toml:"), "an error names its place");
        require(error.find('\n') == std::string::npos, "an error is one line");
    }
}

void require_equal(const Config& config, const Config& again) {
    for (const Setting& setting : settings()) {
        require(setting.print(config) == setting.print(again), "a setting is printed as it was read");
        if (setting.pairs)
            require(setting.pairs(config) == setting.pairs(again), "pairs are printed as they were read");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    FuzzInput input{{data, size}};
    const auto text = input.flag() ? std::string{wsserver::text_of(input.rest())} : toml_from(input);
    Config config = default_config(places);
    ConfigErrors errors;
    read_config_text(text, "wsd.toml", config, errors);
    check_errors(errors);

    // Settings with errors keep their values, so the rest is valid in any case.
    Config again = default_config(places);
    ConfigErrors none;
    read_config_text(print_config(config), "printed", again, none);
    if (!none.empty()) std::fprintf(stderr, "%s\n", none.front().c_str());
    require(none.empty(), "a printed configuration is valid");
    require_equal(config, again);
    return 0;
}
