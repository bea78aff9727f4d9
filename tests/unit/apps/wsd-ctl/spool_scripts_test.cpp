// Runs the scripts of docs/spool-format.md against an observer.
#include <cstdlib>

#include "support/catch.hpp"
#include "support/fake_target.hpp"
#include "support/folder.hpp"
#include "support/strings.hpp"
#include "wsserver/control/observer.hpp"

using namespace wsserver::test;
namespace {

const std::string scripts = std::string{SOURCE_ROOT} + "/tests/system/";

struct Script {
    const char* interpreter;
    const char* file;
    const char* language;  ///< in the fence of the document
};
constexpr Script all_scripts[]{{"sh", "spool.sh", "sh"},
                               {"perl", "spool.pl", "perl"},
                               {"php", "spool.php", "php"},
                               {"python3", "spool.py", "python"}};

bool is_installed(const std::string& program) {
    return std::system(("command -v " + program + " >/dev/null 2>&1").c_str()) == 0;
}

std::string quoted(std::string text) {
    for (std::size_t at = 0; (at = text.find('\'', at)) != std::string::npos; at += 4) text.replace(at, 1, "'\\''");
    return '\'' + text + '\'';
}

}  // namespace

TEST_CASE("the scripts send commands and print the answer", "[spool][scripts]") {
    TemporaryFolder folder;
    FakeTarget target;
    wsserver::ObserverOptions options;
    options.spool.path = folder / "spool";
    auto observer = wsserver::Observer::create(target, options);
    REQUIRE(observer);
    (*observer)->start();
    const auto run = [&](const Script& script, const std::string& text) {
        const auto command = std::string{script.interpreter} + ' ' + quoted(scripts + script.file) + ' ' +
                             quoted(options.spool.path) + ' ' + quoted(text) + " >" + quoted(folder / "out") + " 2>" +
                             quoted(folder / "err");
        return std::system(command.c_str());
    };
    std::size_t calls = 0;
    for (const Script& script : all_scripts) {
        CAPTURE(script.file);
        if (!is_installed(script.interpreter)) {
            WARN(script.interpreter << " is missing: " << script.file << " is not tested");
            continue;
        }
        const std::string text = "it's \"100 %\" \\n gr\xC3\xBC\xC3\x9F\nsecond line\n";
        CHECK(run(script, text) == 0);
        CHECK(text_in(folder / "out") == "3 receivers\n");
        CHECK(text_in(folder / "err").empty());
        ++calls;
        REQUIRE(target.fake_hub->calls.all().size() == calls);
        CHECK(target.fake_hub->calls.all().back() == "broadcast * text " + text);

        CHECK(run(script, "not UTF-8: \xFF") != 0);
        CHECK(text_in(folder / "out").empty());
        CHECK(text_in(folder / "err").starts_with("error bad-utf8 "));
    }
    for (const char* part : {"/tmp", "/new", "/cur"}) CHECK(names_in(options.spool.path + part).empty());
}

TEST_CASE("the document contains exactly these scripts", "[spool][scripts]") {
    const auto document = text_in(std::string{SOURCE_ROOT} + "/docs/spool-format.md");
    REQUIRE_FALSE(document.empty());
    for (const Script& script : all_scripts) {
        CAPTURE(script.file);
        const auto text = text_in(scripts + script.file);
        REQUIRE_FALSE(text.empty());
        CHECK(document.find(std::string{"```"} + script.language + '\n' + text + "```\n") != std::string::npos);
    }
}
