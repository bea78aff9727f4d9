#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <sstream>

#include "support/catch.hpp"
#include "support/fake_target.hpp"
#include "support/folder.hpp"
#include "support/strings.hpp"
#include "wsd-ctl/completion.hpp"
#include "wsd-ctl/find_spool.hpp"
#include "wsd-ctl/join_group.hpp"
#include "wsd-ctl/local_commands.hpp"
#include "wsd-ctl/run.hpp"
#include "wsd-ctl/send_command.hpp"
#include "wsserver/base/descriptor.hpp"
#include "wsserver/control/command.hpp"
#include "wsserver/control/observer.hpp"
#include "wsserver/control/spool.hpp"

using namespace wsserver::test;
namespace {

struct Ended {
    int code = -1;
    std::string out;
    std::string err;
};

Ended run(const Strings& words, const std::string& input_file = "/dev/null") {
    const wsserver::Descriptor in{::open(input_file.c_str(), O_RDONLY | O_CLOEXEC)};
    std::ostringstream out, err;
    const int code = wsd::ctl::run_command_line(words, {"wsd-ctl", out, err, in.get()});
    return {code, out.str(), err.str()};
}

/// A daemon as wsd-ctl sees it: a process that holds the lock. It executes commands only when a test asks for it.
struct Daemon {
    TemporaryFolder folder;
    std::string spool = folder / "spool";
    FakeTarget target;
    std::unique_ptr<wsserver::Observer> observer;

    explicit Daemon(bool works = true) {
        wsserver::ObserverOptions options;
        options.spool.path = spool;
        auto created = wsserver::Observer::create(target, options);
        if (!created) FAIL(created.error());
        observer = std::move(*created);
        if (works) observer->start();
    }
    Ended ctl(Strings words, const std::string& input_file = "/dev/null") const {
        words.insert(words.begin(), {"--spool", spool});
        return run(words, input_file);
    }
    Strings sent() const { return target.fake_hub->calls.all(); }
};

void check(const Ended& ended, int code, const Strings& said) {
    CAPTURE(ended.out, ended.err);
    CHECK(ended.code == code);
    for (const auto& part : said) {
        CAPTURE(part);
        CHECK(has(ended.err, part));
    }
}

/// For a word in single quotes of a shell.
std::string replaced(std::string_view text) {
    std::string result;
    for (const char c : text) result += c == '\'' ? std::string{"'\\''"} : std::string{c};
    return result;
}

}  // namespace

TEST_CASE("a command is sent through the spool and its answer is printed", "[ctl]") {
    Daemon daemon;
    auto ended = daemon.ctl({"broadcast", "hello", "there"});
    check(ended, 0, {});
    CHECK(ended.out == "3 receivers\n");
    CHECK(ended.err.empty());
    CHECK(daemon.ctl({"--json", "broadcast", "--subprotocol", "a b", "it's"}).out == "{\"receivers\":3}\n");
    CHECK(daemon.ctl({"broadcast", "--json", "x"}).out == "{\"receivers\":3}\n");
    CHECK(daemon.ctl({"-q", "broadcast", "quiet"}).out.empty());
    CHECK(daemon.ctl({"call", "nobody", "--json"}).code == 1);
    CHECK(daemon.sent() == Strings{"broadcast * text hello there", "broadcast a b text it's", "broadcast * text x",
                                   "broadcast * text quiet"});
    daemon.observer->stop();  // a command is removed from cur/ after it was answered
    for (const char* part : {"tmp", "new", "cur"}) CHECK(names_in(daemon.spool + '/' + part).empty());
}

TEST_CASE("-v prints the command file and the process", "[ctl]") {
    Daemon daemon;
    check(daemon.ctl({"-v", "version"}), 0,
          {"to process " + std::to_string(::getpid()), daemon.spool, "answered after"});
}

TEST_CASE("the payload is words, standard input or a file", "[ctl]") {
    Daemon daemon;
    const std::string bytes{"a\0'\"\\\n\xFF\n", 8};
    write_to(daemon.folder / "file", bytes);
    check(daemon.ctl({"send", "--binary", "0-1-1", "@" + (daemon.folder / "file")}), 0, {});
    check(daemon.ctl({"send", "--binary", "0-1-1", "-"}, daemon.folder / "file"), 0, {});
    check(daemon.ctl({"broadcast", ""}), 0, {});
    check(daemon.ctl({"broadcast", "-"}), 0, {});  // standard input is empty
    check(daemon.ctl({"broadcast", "--", "-"}), 0, {});
    check(daemon.ctl({"broadcast", "--", "@bob"}), 0, {});
    check(daemon.ctl({"broadcast", "- one", "two"}), 0, {});
    check(daemon.ctl({"broadcast", "two\nlines"}), 0, {});
    check(daemon.ctl({"broadcast", "--", "--json"}), 0, {});
    CHECK(daemon.sent() == Strings{"send 0-1-1 binary " + bytes, "send 0-1-1 binary " + bytes, "broadcast * text ",
                                   "broadcast * text ", "broadcast * text -", "broadcast * text @bob",
                                   "broadcast * text - one two", "broadcast * text two\nlines",
                                   "broadcast * text --json"});
    check(daemon.ctl({"broadcast", "@/no/such/file"}), 1, {"/no/such/file", "No such file", "`--`"});
}

TEST_CASE("a large payload arrives completely", "[ctl]") {
    Daemon daemon;
    write_to(daemon.folder / "file", std::string(5'000'000, 'x'));
    check(daemon.ctl({"broadcast", "-"}, daemon.folder / "file"), 0, {});
    CHECK(daemon.sent().at(0).size() == std::string{"broadcast * text "}.size() + 5'000'000);
}

TEST_CASE("an error of the daemon is printed, with its exit code", "[ctl]") {
    Daemon daemon;
    daemon.target.fake_hub->status = wsserver::SendStatus::closed;
    check(daemon.ctl({"send", "0-1-1", "hi"}), 1, {"wsd-ctl: no open connection has the id 0-1-1"});
    check(daemon.ctl({"close", "--all", "--code", "1006"}), 2, {"`1006`"});
    write_to(daemon.folder / "latin1", "caf\xE9");
    check(daemon.ctl({"broadcast", "-"}, daemon.folder / "latin1"), 1, {"UTF-8", "--binary"});
}

TEST_CASE("wrong words are reported without a daemon", "[ctl]") {
    const auto bad = [](Strings words) {
        words.insert(words.begin(), {"--spool", "/nowhere"});
        const auto ended = run(words);
        CHECK(ended.out.empty());
        return ended;
    };
    check(bad({"brodcast", "hi"}), 2, {"wsd-ctl: ", "`brodcast`", "did you mean `broadcast`?"});
    check(bad({"broadcast", "--subprotokol", "chat", "hi"}), 2, {"`--subprotokol`", "`--subprotocol`"});
    check(bad({"broadcast"}), 2, {"nothing to send", "@FILE", "''"});
    check(bad({"send"}), 2, {"ID is missing"});
    check(bad({"close"}), 2, {"ID is missing", "--all"});
    check(bad({"handler"}), 2, {"handler", "load"});
    check(bad({"list", "all"}), 2, {"`all`"});
    check(bad({"close", "0-1-1", "--reason", "two\nlines"}), 2, {"newline"});
    check(bad({}), 2, {"no command", "--help"});
    check(bad({"--jsn", "list"}), 2, {"--jsn", "--json"});
    check(bad({"--timeout", "5", "list"}), 2, {"--timeout"});
    check(bad({"--timeout", "soon", "list"}), 2, {"--timeout", "soon"});
    check(run({"--spool"}), 2, {"--spool"});
}

TEST_CASE("without a daemon the error says what to do", "[ctl]") {
    TemporaryFolder folder;
    check(run({"--spool", folder / "none", "status"}), 3, {folder / "none", "wsd --spool", "WSD_SPOOL"});
    {
        const Daemon daemon;
        REQUIRE(std::filesystem::exists(daemon.spool));
    }
    Daemon daemon;
    daemon.observer.reset();
    check(daemon.ctl({"status"}), 3, {daemon.spool});
    CHECK(names_in(daemon.spool + "/new").empty());
}

TEST_CASE("after a timeout a command that was not started is withdrawn", "[ctl]") {
    Daemon daemon{false};
    check(daemon.ctl({"--timeout", "20ms", "broadcast", "late"}), 7, {"no answer within 20 ms", "withdrawn"});
    CHECK(names_in(daemon.spool + "/new").empty());
    daemon.observer->start();
    check(daemon.ctl({"broadcast", "next"}), 0, {});
    CHECK(daemon.sent() == Strings{"broadcast * text next"});
}

TEST_CASE("the end of the daemon is noticed", "[ctl]") {
    Daemon daemon{false};
    auto ended = std::async(std::launch::async, [&] { return daemon.ctl({"--timeout", "0", "broadcast", "hi"}); });
    while (names_in(daemon.spool + "/new").empty()) std::this_thread::yield();
    daemon.observer.reset();
    check(ended.get(), 3, {"ended", "withdrawn"});
    CHECK(names_in(daemon.spool + "/new").empty());
}

namespace {

/// Sends a command in another process, waits until it is in new/, calls `meanwhile` with its name, and interrupts the
/// process, which exits with 99 if it has not printed `said`.
int interrupt(const Daemon& daemon, const std::string& said, const std::function<void(const std::string&)>& meanwhile) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const auto ended = daemon.ctl({"broadcast", "hi"});
        ::_exit(has(ended.err, said) ? ended.code : 99);
    }
    Strings names;
    while ((names = names_in(daemon.spool + "/new")).empty()) std::this_thread::yield();
    meanwhile(names.at(0));
    REQUIRE(::kill(child, SIGINT) == 0);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("after an interrupt a command that was not started is withdrawn", "[ctl]") {
    const Daemon daemon{false};
    CHECK(interrupt(daemon, "has been withdrawn", [](const std::string&) {}) == 128 + SIGINT);
    CHECK(names_in(daemon.spool + "/new").empty());
}

TEST_CASE("after an interrupt a command that was started is reported to continue", "[ctl]") {
    const Daemon daemon{false};
    const auto begin = [&](const std::string& name) {
        std::filesystem::rename(daemon.spool + "/new/" + name, daemon.spool + "/cur/" + name);
    };
    CHECK(interrupt(daemon, "is being executed; its answer will be " + daemon.spool + "/done/", begin) == 128 + SIGINT);
    CHECK(names_in(daemon.spool + "/cur").size() == 1);
}

TEST_CASE("without an answer wsd-ctl does not wait, and the daemon writes none", "[ctl]") {
    Daemon daemon{false};
    const bool before = GENERATE(true, false);
    const auto ended =
        before ? daemon.ctl({"--no-answer", "broadcast", "hi"}) : daemon.ctl({"broadcast", "--no-answer", "hi"});
    check(ended, 0, {});
    CHECK(ended.out.empty());
    CHECK(names_in(daemon.spool + "/new").size() == 1);
    daemon.observer->start();
    CHECK(daemon.target.fake_hub->calls.wait_for(1) == Strings{"broadcast * text hi"});
    daemon.observer->stop();
    for (const char* part : {"new", "cur", "done", "failed"}) CHECK(names_in(daemon.spool + '/' + part).empty());
}

TEST_CASE("a command that a new daemon executed again is reported as such", "[ctl]") {
    Daemon daemon{false};
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const auto ended = daemon.ctl({"broadcast", "hi"});
        ::_exit(ended.code == 0 && has(ended.err, "a new wsd executed it again") ? 0 : 99);
    }
    Strings names;
    while ((names = names_in(daemon.spool + "/new")).empty()) std::this_thread::yield();
    std::filesystem::rename(daemon.spool + "/new/" + names.at(0), daemon.spool + "/cur/" + names.at(0) + "~1");
    daemon.observer->start();
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("paths become absolute, since the daemon has another working directory", "[ctl]") {
    Daemon daemon;
    const auto here = std::filesystem::current_path();
    check(daemon.ctl({"handler", "load", "chat", "./x/../chat.so"}), 0, {});
    check(daemon.ctl({"handler", "load", "chat", "echo"}), 0, {});
    check(daemon.ctl({"handler", "load", "chat", "/a b/chat.so"}), 0, {});
    CHECK(daemon.target.calls.all() ==
          Strings{"load 'chat' " + (here / "chat.so").string(), "load 'chat' echo", "load 'chat' /a b/chat.so"});
}

TEST_CASE("the environment names the spool, and a flag overrides it", "[ctl]") {
    Daemon daemon, other;
    REQUIRE(::setenv("WSD_SPOOL", daemon.spool.c_str(), 1) == 0);
    const auto by_variable = run({"broadcast", "one"});
    const auto by_flag = run({"--spool", other.spool, "broadcast", "two"});
    const auto nowhere = run({"--spool", "/nowhere", "status"});
    REQUIRE(::unsetenv("WSD_SPOOL") == 0);
    check(by_variable, 0, {});
    check(by_flag, 0, {});
    check(nowhere, 3, {});
    CHECK(daemon.sent() == Strings{"broadcast * text one"});
    CHECK(other.sent() == Strings{"broadcast * text two"});
}

TEST_CASE("the configuration names the spool, and an invalid one is only a warning", "[ctl]") {
    Daemon daemon;
    const auto file = daemon.folder / "wsd.toml";
    REQUIRE(::setenv("WSD_CONFIG", file.c_str(), 1) == 0);
    write_to(file, "[spool]\ndir = \"" + daemon.spool + "\"\n");
    const auto good = run({"broadcast", "one"});
    write_to(file, "[spool]\ndri = 1\n");
    REQUIRE(::setenv("WSD_SPOOL", daemon.spool.c_str(), 1) == 0);
    const auto bad = run({"broadcast", "two"});
    REQUIRE(::unsetenv("WSD_SPOOL") == 0);
    write_to(file, "[spool]\ndir = \"\"\n");
    const auto none = run({"broadcast", "three"});
    REQUIRE(::unsetenv("WSD_CONFIG") == 0);
    check(good, 0, {});
    check(bad, 0, {"warning", file + ":2"});
    check(none, 3, {"no spool", file});
    CHECK(daemon.sent() == Strings{"broadcast * text one", "broadcast * text two"});
}

TEST_CASE("with --json errors are JSON, wherever it is given", "[ctl]") {
    Daemon daemon;
    daemon.target.fake_hub->status = wsserver::SendStatus::closed;
    for (const auto& words : {Strings{"--json", "send", "0-1-1", "hi"}, Strings{"send", "--json", "0-1-1", "hi"}}) {
        const auto ended = daemon.ctl(words);
        CHECK(ended.code == 1);
        CHECK(ended.err.starts_with("{\"error\":\"gone\",\"text\":\"no open connection has the id 0-1-1: "));
        CHECK(ended.err.ends_with("\"}\n"));
    }
    CHECK(daemon.ctl({"list", "--json", "--all"})
              .err.starts_with("{\"error\":\"usage\",\"text\":\"`list` has no option"));
    CHECK(run({"--json", "--spol", "/s", "list"}).err.starts_with("{\"error\":\"usage\""));
    CHECK(run({"--json"}).err.starts_with("{\"error\":\"usage\""));
    CHECK(run({"--json", "--spool", "/nowhere", "status"}).err.starts_with("{\"error\":\"no-daemon\""));
    CHECK(run({"--json", "connect"}).err.starts_with("{\"error\":\"usage\""));
    CHECK(run({"--json", "connect", "ws+unix:/no/such"}).err.starts_with("{\"error\":\"failed\""));
    CHECK(run({"bench", "--json", "wss://127.0.0.1/"}).err.starts_with("{\"error\":\"tls\""));
    CHECK(daemon.ctl({"broadcast", "--", "--json"}).err.empty());
}

TEST_CASE("`spool` prints the folder that commands go to", "[ctl]") {
    CHECK(run({"--spool", "/a b", "spool"}).out == "/a b\n");
    CHECK(run({"--json", "--spool", "/a b", "spool"}).out == "{\"spool\":\"/a b\"}\n");
    CHECK(run({"--spool", "/a b", "spool", "--json"}).out == "{\"spool\":\"/a b\"}\n");
    check(run({"spool", "/a"}), 2, {"/a is too much"});
    CHECK(has(run({"help", "spool"}).out, "WSD_SPOOL=$(wsd-ctl spool)"));
    CHECK(has(run({"help"}).out, "\n  spool           "));
}

TEST_CASE("the system's spool is used if no wsd of the user runs and nothing names a spool", "[ctl]") {
    using wsd::ctl::find_spool;
    Daemon system, own;
    const TemporaryFolder folder;
    wsd::ctl::SpoolSearch search{{{"HOME", folder / "home"}}, {}, {}};
    search.own.config_file = folder / "own.toml";
    search.own.spool = folder / "spool";
    search.system.config_file = folder / "system.toml";
    search.system.spool = system.spool;
    const auto found = [&](const std::string& given = {}) {
        const auto spool = find_spool(given, search);
        REQUIRE(spool);
        return spool->path;
    };
    CHECK(found() == system.spool);
    SECTION("a configuration of the system names its spool") {
        write_to(search.system.config_file, "[spool]\ndir = \"" + own.spool + "\"\n");
        CHECK(found() == own.spool);
    }
    SECTION("a wsd of the user runs") {
        search.own.spool = own.spool;
        CHECK(found() == own.spool);
    }
    SECTION("something names a spool") {
        CHECK(found("/given") == "/given");
        write_to(search.own.config_file, "[spool]\ndir = \"/configured\"\n");
        CHECK(found() == "/configured");
        search.environment["WSD_SPOOL"] = "/variable";
        CHECK(found() == "/variable");
    }
    SECTION("no wsd runs") {
        system.observer.reset();
        CHECK(found() == search.own.spool);
    }
}

TEST_CASE("a user who may not use the spool is told the steps", "[ctl]") {
    const TemporaryFolder folder;
    REQUIRE(::chmod(folder.path().c_str(), 0700) == 0);
    const auto alone = wsd::ctl::how_to_join(folder.path());
    for (const char* step : {"groupadd wsd-orders", "usermod -aG wsd-orders", "install -d", "-m 2750", "-m 2770"}) {
        CHECK(has(alone, step));
    }
    REQUIRE(::chmod(folder.path().c_str(), 02750) == 0);
    const auto shared = wsd::ctl::how_to_join(folder.path());
    CHECK(has(shared, "usermod -aG "));
    CHECK_FALSE(has(shared, "groupadd"));
}

TEST_CASE("root's command files stay root's where the daemon can read them", "[ctl]") {
    if (::geteuid() != 0) return;
    const passwd* const user = ::getpwnam("daemon");
    if (user == nullptr) return;
    const TemporaryFolder folder;
    for (const char* part : {"tmp", "new"}) std::filesystem::create_directory(folder / part);
    const auto sent = [&](gid_t group) {
        REQUIRE(::chown((folder / "tmp").c_str(), user->pw_uid, group) == 0);
        const wsd::ctl::CommandFile command{folder.path(), "x", "status", {}, {}, false};
        REQUIRE(wsd::ctl::send_command(command));
        struct stat file {};
        REQUIRE(::stat((folder / "new/x").c_str(), &file) == 0);
        return file;
    };
    const auto by_group = sent(user->pw_gid);
    CHECK(by_group.st_uid == 0);
    CHECK(by_group.st_gid == user->pw_gid);
    CHECK((by_group.st_mode & 0777) == 0640);
    const auto by_owner = sent(0);
    CHECK(by_owner.st_uid == user->pw_uid);
    CHECK((by_owner.st_mode & 0777) == 0600);
}

TEST_CASE("the completions in the tree are those that wsd-ctl makes", "[ctl]") {
    for (const auto shell : wsd::ctl::completion_shells()) {
        CAPTURE(shell);
        const auto file = std::string{SOURCE_ROOT} + "/contrib/completions/wsd-ctl." + std::string{shell};
        const auto made = run({"completion", std::string{shell}});
        CHECK(made.code == 0);
        // If not: wsd-ctl completion SHELL > contrib/completions/wsd-ctl.SHELL
        CHECK(made.out == text_in(file));
        for (const auto& command : wsserver::commands())
            CHECK(has(made.out, std::string{command.name.substr(0, command.name.find(' '))}));
        for (const auto& local : wsd::ctl::local_commands()) {
            CHECK(has(made.out, std::string{local.name}));
        }
    }
    check(run({"completion", "tcsh"}), 2, {"bash|zsh|fish"});
    check(run({"completion"}), 2, {"bash|zsh|fish"});
}

TEST_CASE("bash completes commands and their options", "[ctl]") {
    const auto completed = [](const std::string& words, const std::string& word) {
        const auto script = "source '" + std::string{SOURCE_ROOT} +
                            "/contrib/completions/wsd-ctl.bash'; COMP_WORDS=(wsd-ctl " + words + " '" + word +
                            "'); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _wsd_ctl; " + "echo \"${COMPREPLY[*]}\"";
        FILE* const pipe = ::popen(("bash -c '" + replaced(script) + "'").c_str(), "r");
        REQUIRE(pipe != nullptr);
        std::string text;
        for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
        CHECK(::pclose(pipe) == 0);
        return text;
    };
    CHECK(completed("", "bro") == "broadcast\n");
    CHECK(completed("--spool /s", "sta") == "status\n");
    CHECK(completed("broadcast", "--sub") == "--subprotocol\n");
    CHECK(completed("handler", "") == "list load unload reload --json --no-answer --to-default --all\n");
    CHECK(completed("connect", "--wh") == "--whole\n");
    CHECK(completed("send", "x") == "\n");
}

TEST_CASE("help needs no daemon", "[ctl]") {
    auto ended = run({"help"});
    CHECK(ended.code == 0);
    CHECK(has(ended.out, "\n  broadcast  "));
    ended = run({"help", "handler", "load"});
    CHECK(ended.code == 0);
    CHECK(has(ended.out, "usage: handler load SUBPROTOCOL PATH"));
    check(run({"help", "brodcast"}), 2, {"did you mean `broadcast`?"});
    ended = run({"--help"});
    CHECK(ended.code == 0);
    for (const char* part : {"--spool", "--timeout", "--json", "exit codes", "broadcast"}) CHECK(has(ended.out, part));
    ended = run({"--version"});
    CHECK(ended.code == 0);
    CHECK(ended.out.starts_with("wsd-ctl "));
}

TEST_CASE("the manual describes all commands with all their options", "[ctl]") {
    const auto manual = text_in(std::string{SOURCE_ROOT} + "/docs/commands.md");
    for (const auto& command : wsserver::commands()) {
        auto usage = command.usage();
        if (const auto bar = usage.find('|'); bar != std::string::npos) usage.insert(bar, "\\");  // within a table
        CAPTURE(usage);
        CHECK(has(manual, "[`" + usage + "`]("));
    }
}

TEST_CASE("the manual describes all flags of connect", "[ctl]") {
    const auto manual = text_in(std::string{SOURCE_ROOT} + "/docs/commands.md");
    std::istringstream help{run({"help", "connect"}).out};
    std::size_t flags = 0;
    for (std::string word; help >> word;) {
        if (!word.starts_with("--") || word.size() < 4) continue;
        while (!std::isalpha(static_cast<unsigned char>(word.back()))) word.pop_back();
        CAPTURE(word);
        CHECK(has(manual, '`' + word));
        ++flags;
    }
    CHECK(flags >= 8);
}

TEST_CASE("names of command files sort by time and are unique", "[ctl]") {
    std::string before;
    for (int i = 0; i < 1000; ++i) {
        const auto name = wsd::ctl::unique_command_file_name();
        CHECK(wsserver::is_command_file_name(name));
        CHECK(before.substr(0, 22) <= name.substr(0, 22));
        CHECK(before != name);
        before = name;
    }
}
