#include "wsserver/control/observer.hpp"

#include <fcntl.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <future>
#include <set>
#include <thread>

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/fake_target.hpp"
#include "support/folder.hpp"
#include "support/strings.hpp"
#include "wsserver/base/descriptor.hpp"
#include "wsserver/control/detail/user_names.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;
namespace {

struct Pipe {
    Descriptor read_end, write_end;
    Pipe() {
        std::array<int, 2> ends{};
        REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
        read_end.reset(ends[0]);
        write_end.reset(ends[1]);
    }
    void put(std::string_view text) const {
        REQUIRE(::write(write_end.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    }
    /// Reads up to and including `end`.
    std::string get_until(std::string_view end) const {
        std::string text;
        char c = 0;
        while (!text.ends_with(end) && ::read(read_end.get(), &c, 1) == 1) text += c;
        return text;
    }
};

/// An observer over a fake server. By default it finds commands by events only: it looks into the folder once an hour.
struct Office {
    TemporaryFolder folder;
    FakeTarget target;
    Record log;
    ObserverOptions options;
    std::unique_ptr<Observer> observer;

    Office() {
        options.spool.path = folder / "spool";
        options.safety_interval = options.poll_interval = 1h;
        options.sweep_interval = 1h;
        options.log = [this](LogLevel, std::string_view text) { log.add(std::string{text}); };
    }
    void start() {
        auto created = Observer::create(target, options);
        if (!created) FAIL(created.error());
        observer = std::move(*created);
        observer->start();
    }
    std::string in(const std::string& part, const std::string& name = {}) const {
        return options.spool.path + '/' + part + (name.empty() ? "" : '/' + name);
    }
    void put(const std::string& name, std::string_view content) const {
        write_to(in("tmp", name), content);
        std::filesystem::rename(in("tmp", name), in("new", name));
    }
    Strings sent(std::size_t count) const { return target.fake_hub->calls.wait_for(count); }
};

}  // namespace

TEST_CASE("a command in the spool is executed and answered", "[observer]") {
    Office office;
    office.start();
    office.put("a", "broadcast --subprotocol chat\nhello");
    CHECK(office.sent(1) == Strings{"broadcast chat text hello"});
    // Looks are an hour apart, so only inotify can have reported the second one.
    office.put("b", "no-such-word\nsecret");
    const auto log = office.log.wait_for(2);
    const auto user = UserNames{}.describe(::geteuid());
    CHECK(has(user, '(' + std::to_string(::geteuid()) + ')'));
    CHECK(log.at(0) == "command file a of user " + user + ": broadcast: ok");
    CHECK(has(log.at(1), "command file b of user " + user + ": ?: usage: there is no command"));
    CHECK_FALSE(has(log.at(1), "secret"));
    office.observer->stop();
    CHECK(text_in(office.in("done", "a")) == "ok\n3 receivers\n");
    CHECK(text_in(office.in("failed", "b")).starts_with("error usage there is no command `no-such-word`"));
}

TEST_CASE("commands that were in the spool before the start are executed first", "[observer]") {
    Office office;
    {
        const auto spool = Spool::open(office.options.spool);
        REQUIRE(spool);
        office.put("2", "broadcast two");
        office.put("1", "broadcast one");
        write_to(office.in("cur", "9"), "broadcast crashed");
    }
    office.start();
    CHECK(office.sent(3) == Strings{"broadcast * text crashed", "broadcast * text one", "broadcast * text two"});
}

TEST_CASE("a command during which a daemon ended is executed again, unless it ends or changes the daemon",
          "[observer]") {
    Office office;
    {
        REQUIRE(Spool::open(office.options.spool));
        for (const char* word : {"stop", "drain", "undrain", "reload"})
            write_to(office.in("cur", word + std::string{"~1"}), word);
        write_to(office.in("cur", "load~1"), "handler load x /y.so");
        write_to(office.in("cur", "send~1"), "broadcast again");
        write_to(office.in("new", "z"), "drain");
    }
    office.start();
    CHECK(office.sent(1) == Strings{"broadcast * text again"});
    office.log.wait_for(7);
    office.observer->stop();
    CHECK(office.target.calls.all() == Strings{"drain"});
    for (const char* word : {"stop", "drain", "undrain", "reload", "load"}) {
        CHECK(text_in(office.in("failed", word)).starts_with("error crashed again: wsd ended while it executed `"));
    }
    CHECK(text_in(office.in("done", "send")) == "ok again\n3 receivers\n");
    CHECK(text_in(office.in("done", "z")) == "ok\ndrain done\n");
}

TEST_CASE("the spool's group gives the commands that it may give, and no others", "[observer]") {
    Office office;
    std::filesystem::create_directory(office.options.spool.path);
    REQUIRE(::chmod(office.options.spool.path.c_str(), 02750) == 0);
    office.start();
    const auto give = [&](const std::string& name, std::string_view content, mode_t mode) {
        write_to(office.in("tmp", name), content);
        REQUIRE(::chmod(office.in("tmp", name).c_str(), mode) == 0);
        std::filesystem::rename(office.in("tmp", name), office.in("new", name));
    };
    // A file that the group may change is one of the group, even if it belongs to the user of wsd.
    give("1", "broadcast hi", 0660);
    give("2", "--json handler load chat /evil.so", 0660);
    give("3", "stop", 0660);
    give("4", "drain", 0640);
    office.log.wait_for(4);
    CHECK(office.sent(1).size() == 1);
    CHECK(office.target.calls.all() == Strings{"drain"});
    CHECK(
        text_in(office.in("failed", "2")).starts_with("error forbidden the spool's group may not give `handler load`"));
    CHECK(text_in(office.in("failed", "3")).starts_with("error forbidden "));

    auto limits = office.options.spool;
    limits.group_may = {"stop"};
    office.observer->reconfigure(limits);
    give("5", "version", 0660);  // the limits apply before it or after it
    office.log.wait_for(5);
    give("6", "stop", 0660);
    give("7", "broadcast hi", 0660);
    office.log.wait_for(7);
    office.observer->stop();
    CHECK(office.target.calls.all() == Strings{"drain", "stop"});
    CHECK(text_in(office.in("failed", "7")).starts_with("error forbidden "));
}

TEST_CASE("no spelling of a command passes the limits of the spool's group", "[observer]") {
    Office office;
    std::filesystem::create_directory(office.options.spool.path);
    REQUIRE(::chmod(office.options.spool.path.c_str(), 02750) == 0);
    office.start();
    const Strings spellings{"'stop'",
                            "\\stop",
                            "st\"\"op",
                            "\"handler\" load x /evil.so",
                            std::string(70, ' ') + "stop",
                            "\tstop",
                            "--json --no-answer stop",
                            "--json --json --json --json --json --json --json --json --json stop",
                            "stop --json",
                            "\xEF\xBB\xBFstop",
                            "'handler' 'load' x /evil.so",
                            "handler   load x /evil.so"};
    for (std::size_t i = 0; i < spellings.size(); ++i) {
        const std::string name = std::to_string(i);
        write_to(office.in("tmp", name), spellings[i]);
        REQUIRE(::chmod(office.in("tmp", name).c_str(), 0660) == 0);
        std::filesystem::rename(office.in("tmp", name), office.in("new", name));
        office.log.wait_for(i + 1);
    }
    office.observer->stop();
    CHECK(office.target.calls.all().empty());
}

TEST_CASE("without inotify the folder is polled", "[observer]") {
    Office office;
    office.options.use_inotify = false;
    office.options.poll_interval = 1ms;
    office.start();
    office.put("a", "broadcast one");
    CHECK(office.sent(1) == Strings{"broadcast * text one"});
    office.put("b", "broadcast two");
    CHECK(office.sent(2).back() == "broadcast * text two");
}

TEST_CASE("a file that is written in new/ is executed when it is closed", "[observer]") {
    Office office;
    const bool events = GENERATE(true, false);
    office.options.use_inotify = events;
    office.options.safety_interval = office.options.poll_interval = 1ms;
    office.start();
    std::ofstream writer{office.in("new", "a")};
    writer << "broadcast ab" << std::flush;
    // Two commands, so at least one look has seen the file.
    for (const char* name : {"b", "c"}) {
        office.put(name, "broadcast b");
        office.log.wait_for(name[0] == 'b' ? 1 : 2);
    }
    writer << "cd" << std::flush;
    writer.close();
    CHECK(office.sent(3).back() == "broadcast * text abcd");
}

TEST_CASE("a file without an event is found by the next look", "[observer]") {
    Office office;
    office.options.safety_interval = 1ms;
    office.start();
    // A link that is created in new/ itself causes no event that the observer watches.
    REQUIRE(::symlink("/nowhere", office.in("new", "link").c_str()) == 0);
    CHECK(has(office.log.wait_for(1).at(0), "command file link: bad-file"));
}

TEST_CASE("a spool that was removed is created again, and commands work again", "[observer]") {
    Office office;
    office.start();
    office.put("a", "broadcast one");
    CHECK(office.sent(1).size() == 1);
    office.log.wait_for(1);
    SECTION("the whole spool") { std::filesystem::rename(office.options.spool.path, office.folder / "elsewhere"); }
    SECTION("a part") { std::filesystem::remove(office.in("new")); }
    // The next look is in an hour, so this is an event.
    CHECK(has(office.log.wait_for(2).at(1), "opened again"));
    office.put("b", "broadcast two");
    CHECK(office.sent(2).back() == "broadcast * text two");
}

TEST_CASE("a command is not executed again if a folder is removed while it runs", "[observer]") {
    struct Remover {
        std::string folder;
        CommandAnswer on_command(std::span<const std::string>, Bytes) {
            std::filesystem::remove(folder);
            return {true, "done"};
        }
    };
    Office office;
    office.options.retry_interval = 1ms;
    office.target.named["remover"] = make_handler("remover", Remover{office.in("done")});
    office.start();
    office.put("a", "call remover");
    office.log.wait_for(1);
    while (!exists(office.in("done"))) std::this_thread::yield();
    office.put("b", "broadcast after");
    CHECK(office.sent(1) == Strings{"broadcast * text after"});
    office.observer->stop();
    CHECK(text_in(office.in("done", "a")) == "ok\ndone\n");
    const auto log = office.log.all();
    CHECK(std::count_if(log.begin(), log.end(), [](const auto& line) { return has(line, ": call: ok"); }) == 1);
}

TEST_CASE("a spool that cannot be created again is reported once, and used when it can", "[observer]") {
    Office office;
    office.options.retry_interval = office.options.safety_interval = 1ms;
    office.start();
    office.put("a", "broadcast one");
    CHECK(office.sent(1).size() == 1);
    office.log.wait_for(1);
    std::filesystem::rename(office.options.spool.path, office.folder / "elsewhere");
    write_to(office.folder / "file", "");
    std::error_code ignored;
    // Either the observer creates the folder first, or this file is in its way.
    std::filesystem::create_hard_link(office.folder / "file", office.options.spool.path, ignored);
    office.log.wait_for(2);
    if (!ignored) std::filesystem::remove(office.options.spool.path);
    while (!exists(office.in("new"))) std::this_thread::yield();
    office.put("b", "broadcast two");
    CHECK(office.sent(2).back() == "broadcast * text two");
    // There may be two reasons, the second one while this file is being removed. Neither is logged twice.
    const auto log = office.log.all();
    CHECK(std::set<std::string>(log.begin(), log.end()).size() == log.size());
}

TEST_CASE("a flood of commands is executed completely and in order", "[observer]") {
    Office office;
    {
        REQUIRE(Spool::open(office.options.spool));
        for (int i = 0; i < 500; ++i) office.put(std::to_string(1000 + i), "broadcast " + std::to_string(i));
    }
    office.start();
    const auto sent = office.sent(500);
    REQUIRE(sent.size() == 500);
    for (int i = 0; i < 500; ++i) {
        REQUIRE(sent[static_cast<std::size_t>(i)] == "broadcast * text " + std::to_string(i));
    }
}

TEST_CASE("a second observer on the same spool fails", "[observer]") {
    Office office;
    office.start();
    const auto second = Observer::create(office.target, office.options);
    REQUIRE_FALSE(second);
    CHECK(has(second.error(), "in use by process " + std::to_string(::getpid())));
}

TEST_CASE("rejected files are logged", "[observer]") {
    Office office;
    office.start();
    REQUIRE(::symlink("/etc/passwd", office.in("tmp", "link").c_str()) == 0);
    std::filesystem::rename(office.in("tmp", "link"), office.in("new", "link"));
    CHECK(has(office.log.wait_for(1).at(0), "command file link: bad-file: a symbolic link"));
}

TEST_CASE("new limits for the spool apply while it runs", "[observer]") {
    Office office;
    office.start();
    auto limits = office.options.spool;
    limits.max_file = 20;
    office.observer->reconfigure(limits);
    // The limits apply before the next command or after it, and certainly to the one after that.
    office.put("a", "broadcast one");
    office.sent(1);
    office.put("b", "broadcast " + std::string(100, 'x'));
    office.log.wait_for(2);
    CHECK(has(office.log.all().back(), "too-big"));
}

TEST_CASE("lines from one descriptor are answered on another", "[observer]") {
    const Pipe in, out;
    Office office;
    office.options.spool.path.clear();  // works without a spool
    office.options.control_in = in.read_end.get();
    office.options.control_out = out.write_end.get();
    office.start();
    in.put("broadcast hello there\n");
    CHECK(out.get_until("\n\n") == "ok\n3 receivers\n\n");
    in.put("\n   \nversion\r\nno-such-word\n");
    CHECK(out.get_until("\n\n") == "ok\nfake 1.2.3\n\n");
    CHECK(out.get_until("\n\n").starts_with("error usage there is no command `no-such-word`"));
    // Cut anywhere.
    in.put("broad");
    in.put("cast a");
    in.put("gain\nlist");
    CHECK(out.get_until("\n\n") == "ok\n3 receivers\n\n");
    in.put("\n");
    CHECK(out.get_until("\n\n") == "ok\nno connections\n\n");
    CHECK(office.sent(2) == Strings{"broadcast * text hello there", "broadcast * text again"});
}

TEST_CASE("the last line needs no newline, and the end of the input does not stop the observer", "[observer]") {
    Pipe in;
    const Pipe out;
    Office office;
    office.options.control_in = in.read_end.get();
    office.options.control_out = out.write_end.get();
    office.start();
    in.put("broadcast last");
    in.write_end.reset();
    CHECK(out.get_until("\n\n") == "ok\n3 receivers\n\n");
    office.put("a", "broadcast after");
    CHECK(office.sent(2) == Strings{"broadcast * text last", "broadcast * text after"});
}

TEST_CASE("an answer with empty lines ends at the right place", "[observer]") {
    struct Gaps {
        CommandAnswer on_command(std::span<const std::string>, Bytes) { return {true, "a\n\n\nb\n"}; }
    };
    const Pipe in, out;
    Office office;
    office.target.named["gaps"] = make_handler("gaps", Gaps{});
    office.options.control_in = in.read_end.get();
    office.options.control_out = out.write_end.get();
    office.start();
    in.put("call gaps\nversion\n");
    CHECK(out.get_until("\n\n") == "ok\na\n \n \nb\n\n");
    CHECK(out.get_until("\n\n") == "ok\nfake 1.2.3\n\n");
}

TEST_CASE("a line without an end is rejected, and the next one is read", "[observer]") {
    const Pipe in, out;
    Office office;
    office.options.control_in = in.read_end.get();
    office.options.control_out = out.write_end.get();
    office.start();
    for (int i = 0; i < 20; ++i) in.put(std::string(4096, 'x'));
    CHECK(has(out.get_until("\n\n"), "error usage the line is longer than 65536"));
    in.put("xyz\nversion\n");
    CHECK(out.get_until("\n\n") == "ok\nfake 1.2.3\n\n");
}

TEST_CASE("a client that does not read its answers delays only itself", "[observer]") {
    struct Long {
        CommandAnswer on_command(std::span<const std::string>, Bytes) { return {true, std::string(1 << 20, 'x')}; }
    };
    const Pipe in, out;
    Office office;
    office.target.named["long"] = make_handler("long", Long{});
    office.options.control_in = in.read_end.get();
    office.options.control_out = out.write_end.get();
    office.start();
    in.put("call long\n");
    office.log.wait_for(1);
    // The pipe is full now: a further line waits, the spool does not.
    in.put("broadcast waits\n");
    office.put("a", "broadcast overtakes");
    CHECK(office.sent(1) == Strings{"broadcast * text overtakes"});
    CHECK(out.get_until("\n\n").size() == (1 << 20) + 5);
    CHECK(office.sent(2).back() == "broadcast * text waits");
}

TEST_CASE("lines that arrive together wait for their reader, too", "[observer]") {
    struct Long {
        CommandAnswer on_command(std::span<const std::string>, Bytes) { return {true, std::string(1 << 20, 'x')}; }
    };
    Pipe in;
    const Pipe out;
    Office office;
    office.target.named["long"] = make_handler("long", Long{});
    office.options.control_in = in.read_end.get();
    office.options.control_out = out.write_end.get();
    office.start();
    in.put("call long\ncall long\nbroadcast waits\nbroadcast last");
    in.write_end.reset();
    office.log.wait_for(1);
    office.put("a", "broadcast overtakes");
    CHECK(office.sent(1) == Strings{"broadcast * text overtakes"});
    for (int i = 0; i < 2; ++i) CHECK(out.get_until("\n\n").size() == (1 << 20) + 5);
    CHECK(office.sent(3) == Strings{"broadcast * text overtakes", "broadcast * text waits", "broadcast * text last"});
}

TEST_CASE("a reader that is gone does not end the observer", "[observer]") {
    const Pipe in;
    Pipe out;
    Office office;
    office.options.control_in = in.read_end.get();
    office.options.control_out = out.write_end.get();
    out.read_end.reset();
    office.start();
    in.put("broadcast one\nbroadcast two\n");
    CHECK(office.sent(2).size() == 2);
}

TEST_CASE("stop without a grace leaves the running command unanswered, and the next start executes it again",
          "[observer]") {
    Office office;
    office.target.fake_hub->answers = false;  // the broadcast hangs
    office.start();
    office.put("1", "broadcast stuck");
    CHECK(office.sent(1).size() == 1);
    office.put("2", "broadcast waits");
    office.observer->stop();
    office.observer->stop();
    CHECK(names_in(office.in("failed")).empty());
    CHECK(names_in(office.in("cur")) == Strings{"1~1", "1~reserved"});
    CHECK(names_in(office.in("new")) == Strings{"2"});
    CHECK(has(office.log.all().back(), "broadcast: stopping: "));
    office.target.fake_hub->answers = true;
    office.observer.reset();
    office.start();
    CHECK(office.sent(3) == Strings{"broadcast * text stuck", "broadcast * text stuck", "broadcast * text waits"});
    office.observer->stop();
    CHECK(text_in(office.in("done", "1")) == "ok again\n3 receivers\n");
}

namespace {

/// A handler whose command waits until the test lets it go.
struct Patient {
    std::shared_future<void> go;
    std::shared_ptr<std::promise<void>> begun = std::make_shared<std::promise<void>>();
    CommandAnswer on_command(std::span<const std::string>, Bytes) {
        begun->set_value();
        go.wait();
        return {true, "done"};
    }
};

}  // namespace

TEST_CASE("stop waits within its grace for the running command and answers it", "[observer]") {
    Office office;
    std::promise<void> go;
    const Patient patient{go.get_future().share()};
    office.target.named["patient"] = make_handler("patient", Patient{patient});
    office.start();
    office.put("1", "call patient");
    patient.begun->get_future().wait();
    office.put("2", "broadcast waits");
    auto stopped = std::async(std::launch::async, [&] { office.observer->stop(1h); });
    SECTION("it ends in time") {
        go.set_value();
        stopped.get();
        CHECK(text_in(office.in("done", "1")) == "ok\ndone\n");
        CHECK(names_in(office.in("cur")).empty());
    }
    SECTION("another thread gives it up") {
        office.observer->give_up();
        stopped.get();
        CHECK(names_in(office.in("cur")) == Strings{"1~1", "1~reserved"});
        CHECK(names_in(office.in("done")).empty());
        CHECK(names_in(office.in("new")) == Strings{"2"});
        go.set_value();
    }
    CHECK(names_in(office.in("failed")).empty());
}

TEST_CASE("stop returns even if a command does not", "[observer]") {
    Office office;
    std::promise<void> begun, go;
    office.options.log = [&](LogLevel, std::string_view) {
        begun.set_value();
        go.get_future().wait();  // on the observer's thread, and deaf to any request to stop
    };
    office.options.stop_patience = 1ms;
    office.start();
    office.put("1", "broadcast one");
    begun.get_future().wait();
    SECTION("without a grace") { CHECK_FALSE(office.observer->stop()); }
    SECTION("with a grace that another thread ends") {
        auto stopped = std::async(std::launch::async, [&] { return office.observer->stop(1h); });
        office.observer->give_up();
        CHECK_FALSE(stopped.get());
    }
    go.set_value();
    office.observer.reset();  // waits for the thread
    CHECK(text_in(office.in("done", "1")) == "ok\n3 receivers\n");
}

TEST_CASE("a command line that a stop interrupts is answered with `stopping`", "[observer]") {
    const Pipe in, out;
    Office office;
    office.target.fake_hub->answers = false;
    office.options.control_in = in.read_end.get();
    office.options.control_out = out.write_end.get();
    office.start();
    in.put("broadcast stuck\n");
    CHECK(office.sent(1).size() == 1);
    office.observer->stop();
    CHECK(out.get_until("\n\n").starts_with("error stopping "));
}

TEST_CASE("commands that only report are logged as details", "[observer]") {
    Office office;
    Record levels;
    office.options.log = [&](LogLevel level, std::string_view) {
        levels.add(level == LogLevel::debug ? "debug" : level == LogLevel::info ? "info" : "warning");
    };
    office.start();
    for (const char* line : {"list", "handler list", "broadcast hi", "show 0-1-1"}) {
        const auto before = levels.all().size();
        office.put("a", line);
        levels.wait_for(before + 1);
    }
    CHECK(levels.all() == Strings{"debug", "debug", "info", "warning"});
}

TEST_CASE("the reason of a failure that the target has logged is not logged again", "[observer]") {
    Office office;
    office.target.refuse = "listen: `x` is not an address";
    office.target.logs = true;
    office.start();
    const auto logged = [&](const char* name, const char* line) {
        const auto before = office.log.all().size();
        office.put(name, line);
        return office.log.wait_for(before + 1).back();
    };
    for (const char* line : {"reload", "undrain"}) {
        CHECK(logged(line, line).ends_with(std::string{": "} + line + ": failed"));
    }
    CHECK(logged("other", "log-level debug").ends_with(": log-level: failed: listen: `x` is not an address"));
    office.target.logs = false;
    CHECK(logged("again", "reload").ends_with(": reload: failed: listen: `x` is not an address"));
    office.observer->stop();
    for (const std::string name : {"reload", "undrain"}) {  // the answer has the reason in any case
        CHECK(text_in(office.in("failed", name)) == "error failed listen: `x` is not an address\n" + name);
    }
}

TEST_CASE("a log that throws does not stop commands", "[observer]") {
    Office office;
    office.options.log = [](LogLevel, std::string_view) { throw std::runtime_error{"no log"}; };
    office.start();
    write_to(office.in("new", "not a name"), "x");
    office.put("a", "broadcast first");
    office.put("b", "broadcast second");
    CHECK(office.sent(2) == Strings{"broadcast * text first", "broadcast * text second"});
}

TEST_CASE("an exception of the target becomes an answer", "[observer]") {
    struct Throws final : ControlTarget {
        StatusReport status() override { throw std::runtime_error{"no status today"}; }
        std::vector<ConnectionInfo> list() override { throw 7; }
        std::optional<ConnectionInfo> show(ConnectionId) override { return std::nullopt; }
        std::vector<std::uint16_t> stalled_reactors() override { return {}; }
        std::shared_ptr<Hub> hub() override { return std::make_shared<FakeHub>(); }
        std::vector<HandlerReport> handlers() override { return {}; }
        std::shared_ptr<AnyHandler> find_handler(std::string_view) override { return nullptr; }
        Outcome load_handler(const std::string&, const std::string&) override { return std::string{}; }
        Outcome unload_handler(const std::string&, bool) override { return std::string{}; }
        Outcome reload_handler(const std::string&) override { return std::string{}; }
        Outcome reload_handlers() override { return std::string{}; }
        Outcome set_log_level(const std::string&) override { return std::string{}; }
        Outcome reload() override { return std::string{}; }
        Outcome drain() override { return std::string{}; }
        Outcome undrain() override { return std::string{}; }
        Outcome stop() override { return std::string{}; }
        std::string version() override { return {}; }
    } target;
    const Pipe in, out;
    ObserverOptions options;
    options.control_in = in.read_end.get();
    options.control_out = out.write_end.get();
    auto observer = Observer::create(target, options);
    REQUIRE(observer);
    (*observer)->start();
    in.put("status\nlist\n");
    CHECK(out.get_until("\n\n") == "error failed `status`: no status today\n\n");
    CHECK(out.get_until("\n\n") == "error failed an unknown exception\n\n");
}

TEST_CASE("each allocation of the observer's thread may fail", "[observer][out_of_memory]") {
    const AllocationsSucceed here;
    AllocationFailures::on_all_threads(true);
    bool failed_one = true;
    for (std::size_t first = 1; failed_one; ++first) {
        CAPTURE(first);
        Office office;
        const auto answered = [&](const std::string& name) {
            return exists(office.in("done", name)) || exists(office.in("failed", name));
        };
        const auto wait_until = [](const auto& condition) {
            const auto deadline = std::chrono::steady_clock::now() + 60s;
            while (!condition() && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(1ms);
            return condition();
        };
        AllocationFailures::from(first, first % 3 + 1);
        office.start();
        office.put("a", "broadcast one");
        REQUIRE(wait_until([&] { return AllocationFailures::happened() > 0 || answered("a"); }));
        failed_one = AllocationFailures::happened() > 0;
        AllocationFailures::none();
        office.put("b", "broadcast two");
        REQUIRE(wait_until([&] { return answered("b"); }));
        office.observer.reset();
        office.start();  // executes again what the failure has cut short
        REQUIRE(wait_until([&] { return answered("a"); }));
        office.observer.reset();
        const Strings sent = office.target.fake_hub->calls.all();
        CHECK(std::ranges::count(sent, "broadcast * text one") <= 2);
    }
    AllocationFailures::on_all_threads(false);
}
