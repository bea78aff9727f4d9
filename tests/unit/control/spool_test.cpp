#include "wsserver/control/spool.hpp"

#include <grp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <array>
#include <cstring>
#include <ctime>
#include <map>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/spool_desk.hpp"
#include "support/strings.hpp"
#include "wsserver/base/descriptor.hpp"
#include "wsserver/control/detail/spool_queue.hpp"

using namespace wsserver;
using namespace wsserver::test;
namespace {

mode_t mode_of(const std::string& path) {
    struct stat status;
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777;
}

}  // namespace

TEST_CASE("commands are executed in order of name and answered under their names", "[spool]") {
    Desk desk;
    desk.put("2", "second");
    desk.put("10", "first\npayload \xFF");
    desk.put("3", "fail here\nwith this");
    CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{"10", "2", "3"});
    CHECK(desk.contents["10"] == "first\npayload \xFF");
    CHECK(text_in(desk.in("done", "10")) == "ok\ndone 10\n");
    CHECK(text_in(desk.in("done", "2")) == "ok\ndone 2\n");
    CHECK(text_in(desk.in("failed", "3")) == "error refused no such id\nfail here\nwith this");
    CHECK(names_in(desk.in("done")) == Strings{"10", "2"});
    CHECK(names_in(desk.in("failed")) == Strings{"3"});
    CHECK(desk.left().empty());
}

TEST_CASE("a command that arrived while no daemon was running is executed", "[spool]") {
    Desk desk;
    desk.spool.reset();
    desk.put("a", "x");
    desk.open();
    CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{"a"});
}

TEST_CASE("files in tmp/ are not touched", "[spool]") {
    Desk desk;
    write_to(desk.in("tmp", "a"), "broadcast ha");
    CHECK(desk.run() == "idle");
    CHECK(desk.executed.empty());
    CHECK(desk.left() == Strings{"tmp/a"});
}

TEST_CASE("empty and binary files are read unchanged", "[spool]") {
    Desk desk;
    std::string bytes;
    for (int i = 0; i < 100'000; ++i) bytes += static_cast<char>(i % 256);
    desk.put("empty", "");
    desk.put("bytes", bytes);
    desk.run();
    CHECK(desk.contents["empty"].empty());
    CHECK(desk.contents["bytes"] == bytes);
}

TEST_CASE("if a name is reused, the answer is that of the last command", "[spool]") {
    Desk desk;
    desk.put("a", "fail");
    desk.run();
    CHECK(exists(desk.in("failed", "a")));
    desk.put("a", "x");
    desk.run();
    CHECK(exists(desk.in("done", "a")));
    CHECK_FALSE(exists(desk.in("failed", "a")));
    desk.put("a", "fail");
    desk.run();
    CHECK(exists(desk.in("failed", "a")));
    CHECK_FALSE(exists(desk.in("done", "a")));
}

TEST_CASE("a command that is found by an event and by a scan keeps its answer", "[spool]") {
    Desk desk;
    desk.run();
    desk.put("a", "x");
    desk.run();
    desk.spool->notice("a");
    CHECK(desk.run_known() == "idle");
    CHECK(desk.executed == Strings{"a"});
    CHECK(exists(desk.in("done", "a")));
}

TEST_CASE("a command is executed after an event without a scan", "[spool]") {
    Desk desk;
    desk.run();
    desk.put("b", "x");
    desk.put("a", "x");
    CHECK(desk.run_known() == "idle");
    CHECK(desk.executed.empty());
    desk.spool->notice("b");
    desk.spool->notice("a");
    desk.spool->notice("taken-back");
    CHECK(desk.run_known() == "idle");
    CHECK(desk.executed == Strings{"a", "b"});
}

TEST_CASE("a large folder is handled in bounded batches, in order", "[spool]") {
    Desk desk;
    Strings names;
    for (int i = 0; i < 9'000; ++i) {
        names.push_back(std::to_string(100'000 + (i * 7919) % 9'000));
        write_to(desk.in("new", names.back()), "x");
    }
    std::sort(names.begin(), names.end());
    CHECK(desk.run(64) == "more");
    CHECK(desk.executed.size() == 64);
    // After all names that the first scan could keep, so it waits.
    desk.put("999999", "x");
    desk.spool->notice("999999");
    // Before them, so it is executed first.
    desk.put("000000", "x");
    desk.spool->notice("000000");
    while (desk.run(64) == "more") {
    }
    names.insert(names.begin() + 64, "000000");
    names.push_back("999999");
    CHECK(desk.executed == names);
    CHECK(names_in(desk.in("new")).empty());
}

// --- files that are written in place, against the rules

TEST_CASE("a file in new/ that is open for writing waits until it is closed", "[spool]") {
    Desk desk;
    std::ofstream writer{desk.in("new", "a"), std::ios::binary};
    writer << "call x ab" << std::flush;
    desk.put("b", "x");
    for (int i = 0; i < 3; ++i) CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{"b"});
    writer << "cdef" << std::flush;
    CHECK(desk.run() == "idle");
    writer.close();
    SECTION("found by a look") { CHECK(desk.run() == "idle"); }
    SECTION("found by an event") {
        desk.spool->notice("a");
        CHECK(desk.run_known() == "idle");
    }
    CHECK(desk.executed == Strings{"b", "a"});
    CHECK(desk.contents["a"] == "call x abcdef");
}

TEST_CASE("where leases do not work a file that no event reported waits until two looks find it unchanged", "[spool]") {
    SpoolOptions options;
    options.before_call = [](std::string_view call) {
        return call == "lease" ? std::make_error_code(std::errc::permission_denied) : std::error_code{};
    };
    Desk desk{options};
    write_to(desk.in("new", "a"), "half");
    for (int i = 0; i < 2; ++i) CHECK(desk.run() == "idle");
    CHECK(desk.spool->has_unsettled());
    CHECK(desk.run_known() == "idle");  // not a look
    write_to(desk.in("new", "a"), "not half");
    for (int i = 0; i < 2; ++i) CHECK(desk.run() == "idle");
    CHECK(desk.executed.empty());
    CHECK(desk.run() == "idle");
    CHECK(desk.contents["a"] == "not half");
    CHECK_FALSE(desk.spool->has_unsettled());
    desk.put("b", "x");
    desk.spool->notice("b");
    CHECK(desk.run_known() == "idle");
    CHECK(desk.executed == Strings{"a", "b"});
}

TEST_CASE("incomplete files in a large folder do not stop the others", "[spool]") {
    bool works = false;
    SpoolOptions options;
    options.before_call = [&](std::string_view call) {
        return !works && call == "lease" ? std::make_error_code(std::errc::permission_denied) : std::error_code{};
    };
    Desk desk{options};
    for (int i = 0; i < 3'000; ++i) write_to(desk.in("new", std::to_string(10'000 + i)), "x");
    CHECK(desk.run(10'000) == "idle");
    CHECK(desk.executed.empty());
    works = true;
    for (int i = 0; i < 3'000; ++i) write_to(desk.in("new", std::to_string(20'000 + i)), "x");
    CHECK(desk.run(10'000) == "idle");
    CHECK(desk.executed.size() == 6'000);
}

// --- rejected files

TEST_CASE("anything but a regular file is rejected, neither followed nor opened", "[spool]") {
    Desk desk;
    write_to(desk.folder / "secret", "broadcast secret");
    REQUIRE(::symlink((desk.folder / "secret").c_str(), desk.in("new", "link").c_str()) == 0);
    REQUIRE(::symlink("/nowhere", desk.in("new", "dangling").c_str()) == 0);
    REQUIRE(::mkdir(desk.in("new", "folder").c_str(), 0700) == 0);
    write_to(desk.in("new", "folder/inside"), "x");
    REQUIRE(::mkfifo(desk.in("new", "fifo").c_str(), 0600) == 0);
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const auto path = desk.in("new", "socket");
    REQUIRE(path.size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    REQUIRE(::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    ::close(socket);
    desk.put("zz-good", "x");

    CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{"zz-good"});
    for (const char* name : {"link", "dangling", "folder", "fifo", "socket"}) {
        CAPTURE(name);
        CHECK(desk.refused[name] == "bad-file");
        CHECK(text_in(desk.in("failed", name)).starts_with("error bad-file "));
        CHECK(exists(desk.in("failed", std::string{name} + "~refused")));
    }
    CHECK(desk.left().empty());
    CHECK(text_in(desk.folder / "secret") == "broadcast secret");
    CHECK(text_in(desk.in("failed", "folder~refused/inside")) == "x");
}

TEST_CASE("a file with two names is rejected", "[spool]") {
    Desk desk;
    write_to(desk.folder / "else", "x");
    REQUIRE(::link((desk.folder / "else").c_str(), desk.in("new", "a").c_str()) == 0);
    desk.run();
    CHECK(desk.executed.empty());
    CHECK(has(text_in(desk.in("failed", "a")), "error bad-file the file has 2 names"));
}

TEST_CASE("a file with two names that was rejected before is put aside again", "[spool]") {
    Desk desk;
    const std::string name = GENERATE("a", "a name");
    write_to(desk.folder / "else", "x");
    for (int i = 0; i < 2; ++i) {
        REQUIRE(::link((desk.folder / "else").c_str(), desk.in("new", name).c_str()) == 0);
        CHECK(desk.run() == "idle");
        CHECK(desk.left().empty());
    }
    CHECK(names_in(desk.in("failed")).size() == 2);
    desk.put("a", "x");
    CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{"a"});
}

TEST_CASE("a second folder with a rejected name is put aside, too", "[spool]") {
    Desk desk;
    for (int i = 0; i < 2; ++i) {
        REQUIRE(::mkdir(desk.in("new", "folder").c_str(), 0700) == 0);
        write_to(desk.in("new", "folder/inside"), "x");
        CHECK(desk.run() == "idle");
    }
    CHECK(desk.left().empty());
    CHECK(names_in(desk.in("failed")).size() == 3);
    desk.put("folder", "x");
    CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{"folder"});
}

TEST_CASE("of folders that cannot be moved only a bounded number is known", "[spool]") {
    const TemporaryFolder folder;
    const SpoolDisk disk{{}};
    const Descriptor fresh{::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    SpoolQueue queue{disk, fresh};
    constexpr std::size_t known = 4096;
    for (std::size_t i = 0; i < known + 10; ++i) std::filesystem::create_directory(folder / std::to_string(i));
    const auto ignore_all = [&] {
        std::size_t count = 0;
        queue.rescan();
        for (auto name = queue.take(); name && *name; name = queue.take(), ++count) {
            struct stat status;
            REQUIRE_FALSE(disk.examine(fresh, **name, status));
            queue.ignore(**name, status.st_ino);
        }
        return count;
    };
    CHECK(ignore_all() == known);
    CHECK(ignore_all() == 0);
    write_to(folder / "x", "x");
    CHECK(ignore_all() == 1);
}

TEST_CASE("a folder in the place of an answer is put aside and blocks no command", "[spool]") {
    Desk desk;
    const std::string part = GENERATE("done", "failed");
    const std::string content = GENERATE("x", "fail");
    for (const char* name : {"a", "a~refused"}) {
        REQUIRE(::mkdir(desk.in(part, name).c_str(), 0700) == 0);
    }
    SECTION("before the command arrives") {}
    SECTION("with something in it") { REQUIRE(::mkdir(desk.in(part, "a/inside").c_str(), 0700) == 0); }
    desk.put("a", content);
    desk.put("b", "x");
    CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{"a", "b"});
    CHECK(std::filesystem::is_regular_file(desk.in(content == "x" ? "done" : "failed", "a")));
    CHECK_FALSE(exists(desk.in(content == "x" ? "failed" : "done", "a")));
    CHECK(desk.left().empty());
}

TEST_CASE("a folder that appears in the place of an answer while the command runs is put aside", "[spool]") {
    Desk desk;
    desk.put("a", "x");
    desk.put("b", "x");
    desk.on_execute = [&](const SpoolCommand& command) {
        if (command.name == "a") REQUIRE(::mkdir(desk.in("done", "a").c_str(), 0700) == 0);
    };
    CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{"a", "b"});
    CHECK(text_in(desk.in("done", "a")) == "ok\ndone a\n");
}

TEST_CASE("a folder in the place of a rejection is put aside", "[spool]") {
    Desk desk;
    write_to(desk.in("new", "a name"), "x");
    CHECK(desk.run() == "idle");
    for (const auto& name : names_in(desk.in("failed"))) {
        REQUIRE(std::filesystem::remove(desk.in("failed", name)));
        REQUIRE(::mkdir(desk.in("failed", name).c_str(), 0700) == 0);
    }
    write_to(desk.in("new", "a name"), "x");
    desk.put("b", "x");
    CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{"b"});
    CHECK(desk.left().empty());
}

TEST_CASE("a folder in the place of its answer does not prevent an interrupted command from being executed",
          "[spool]") {
    Desk desk;
    write_to(desk.in("cur", "a"), "x");
    REQUIRE(::mkdir(desk.in("done", "a").c_str(), 0700) == 0);
    desk.open();
    CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{"a"});
    CHECK(text_in(desk.in("done", "a")) == "ok\ndone a\n");
}

TEST_CASE("a file with an invalid name is rejected under another name", "[spool]") {
    Desk desk;
    const Strings bad{"with blank", "umlaut-\xC3\xBC", "semi;colon", std::string(129, 'a'),
                      "new\nline",  "til~de",          "answer~"};
    for (const auto& name : bad) write_to(desk.in("new", name), "x");
    const std::string longest(128, 'a');
    desk.put(longest, "x");
    desk.put("A.b_c-9", "x");
    desk.put(".hidden", "x");
    CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{".hidden", "A.b_c-9", longest});
    CHECK(desk.refused.size() == bad.size());
    CHECK(desk.refused["new\\nline"] == "bad-name");
    const auto failed = names_in(desk.in("failed"));
    CHECK(failed.size() == 2 * bad.size());
    for (const auto& name : failed) {
        CAPTURE(name);
        const bool is_reason = is_command_file_name(name);
        CHECK(
            (is_reason ? text_in(desk.in("failed", name)).starts_with("error bad-name ") : name.ends_with("~refused")));
    }
    CHECK(desk.left().empty());
}

TEST_CASE("a file over the limit is rejected without being read", "[spool]") {
    SpoolOptions options;
    options.max_file = 1000;
    Desk desk{options};
    desk.put("at", std::string(1000, 'x'));
    desk.put("over", std::string(1001, 'x'));
    desk.run();
    CHECK(desk.executed == Strings{"at"});
    CHECK(text_in(desk.in("failed", "over")) ==
          "error too-big the file has 1001 bytes, the limit is 1000 (spool.max_file)\n");
    CHECK(text_in(desk.in("failed", "over~refused")) == std::string(1001, 'x'));
    desk.options.max_file = 1001;
    desk.spool->reconfigure(desk.options);
    desk.put("over", std::string(1001, 'x'));
    desk.run();
    CHECK(desk.executed == Strings{"at", "over"});
}

TEST_CASE("files of the own user, of root and of the group are commands", "[spool]") {
    struct stat file {};
    file.st_mode = S_IFREG | 0644;
    file.st_nlink = 1;
    file.st_size = 10;
    SpoolRules rules;
    rules.user = 1000;
    rules.max_file = 10;
    const auto code = [&]() -> std::string {
        const auto why = refusal_of(file, rules);
        return why ? std::string{to_string(*why->error)} : "taken";
    };
    file.st_uid = 1000, file.st_gid = 5;
    CHECK(code() == "taken");
    file.st_uid = 0;
    CHECK(code() == "taken");
    file.st_uid = 1001;
    CHECK(code() == "foreign-owner");
    rules.group = 5;
    CHECK(code() == "taken");
    file.st_gid = 6;
    CHECK(code() == "foreign-owner");
    file.st_uid = 1000;
    CHECK(code() == "taken");
    file.st_size = 11;
    CHECK(code() == "too-big");
    file.st_size = 10;
    for (const auto type : {S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK}) {
        file.st_mode = static_cast<mode_t>(type) | 0644;
        CHECK(code() == "bad-file");
    }
    file.st_mode = S_IFREG | 0644;
    file.st_nlink = 2;
    CHECK(code() == "bad-file");
}

TEST_CASE("files of other users, and files that the group may change, are commands of the group", "[spool]") {
    struct stat file {};
    file.st_mode = S_IFREG | 0640;
    SpoolRules rules;
    rules.user = 1000;
    rules.group = 5;
    for (const uid_t owner : {0U, 1000U}) {
        file.st_uid = owner;
        CHECK_FALSE(is_of_group(file, rules));
        for (const mode_t writable : {0660U, 0602U}) {
            auto changed = file;
            changed.st_mode = S_IFREG | writable;
            CHECK(is_of_group(changed, rules));
        }
    }
    file.st_uid = 1001;
    CHECK(is_of_group(file, rules));
    rules.group.reset();
    file.st_uid = 1000;
    file.st_mode = S_IFREG | 0660;
    CHECK_FALSE(is_of_group(file, rules));
}

TEST_CASE("a file of another user is rejected", "[spool]") {
    if (::geteuid() != 0) return;  // only root can create one; refusal_of() is tested above
    Desk desk;
    desk.put("a", "x");
    REQUIRE(::chown(desk.in("new", "a").c_str(), 12345, 12345) == 0);
    desk.run();
    CHECK(desk.executed.empty());
    CHECK(has(text_in(desk.in("failed", "a")), "error foreign-owner the file belongs to user 12345"));

    // The same in a folder that is shared with a group.
    REQUIRE(::chown(desk.options.path.c_str(), 0, 12345) == 0);
    REQUIRE(::chmod(desk.options.path.c_str(), 02770) == 0);
    desk.open();
    desk.put("a", "x");
    REQUIRE(::chown(desk.in("new", "a").c_str(), 54321, 12345) == 0);
    desk.run();
    CHECK(desk.executed == Strings{"a"});
}

TEST_CASE("names of command files have a limited alphabet and length", "[spool]") {
    for (const char* name : {"a", "0", "-", "_", "a.b", "..a", "a..", "2024-01-01T00.00.00-7"}) {
        CAPTURE(name);
        CHECK(is_command_file_name(name));
    }
    for (const std::string& name :
         {std::string{}, std::string{"."}, std::string{".."}, std::string{"a b"}, std::string{"a/b"}, std::string{"a~"},
          std::string{"a\n"}, std::string{"\xC3\xA4"}, std::string{"a\0b", 3}, std::string(129, 'a')}) {
        CAPTURE(name);
        CHECK_FALSE(is_command_file_name(name));
    }
}

// --- the folder

TEST_CASE("the folders are created for the owner only", "[spool]") {
    const auto umask_before = ::umask(0);
    TemporaryFolder folder;
    SpoolOptions options;
    options.path = folder / "deep/er/spool";
    const auto spool = Spool::open(options);
    ::umask(umask_before);
    REQUIRE(spool);
    for (const char* part : {"", "/..", "/tmp", "/new", "/cur", "/done", "/failed"}) {
        CAPTURE(part);
        CHECK(mode_of(options.path + part) == 0700);
    }
    CHECK(mode_of(options.path + "/lock") == 0600);
}

TEST_CASE("with the setgid bit the folder's group gives commands", "[spool]") {
    const auto umask_before = ::umask(077);
    TemporaryFolder folder;
    SpoolOptions options;
    options.path = folder / "spool";
    REQUIRE(::mkdir(options.path.c_str(), 0700) == 0);
    REQUIRE(::chmod(options.path.c_str(), 02770) == 0);
    auto spool = Spool::open(options);
    REQUIRE(spool);
    CHECK(mode_of(options.path + "/tmp") == 02770);
    CHECK(mode_of(options.path + "/new") == 02770);
    CHECK(mode_of(options.path + "/cur") == 02700);
    CHECK(mode_of(options.path + "/done") == 02750);
    CHECK(mode_of(options.path + "/failed") == 02750);
    CHECK(mode_of(options.path + "/lock") == 0640);
    ::umask(umask_before);
}

namespace {

/// A spool that is shared with a group, and the modes of the answers in it.
struct SharedSpool {
    TemporaryFolder folder;
    SpoolOptions options;
    std::unique_ptr<Spool> spool;

    SharedSpool() {
        options.path = folder / "spool";
        REQUIRE(::mkdir(options.path.c_str(), 0700) == 0);
        REQUIRE(::chmod(options.path.c_str(), 02750) == 0);
        open();
    }
    void open() {
        spool.reset();
        auto opened = Spool::open(options);
        REQUIRE(opened);
        spool = *std::move(opened);
    }
    std::string in(const std::string& part, const std::string& name) const {
        return options.path + '/' + part + '/' + name;
    }
    /// Of this user. With the mode 0660 a member of the group may have written it.
    void put(const std::string& name, mode_t mode) {
        write_to(in("new", name), "x");
        REQUIRE(::chmod(in("new", name).c_str(), mode) == 0);
        spool->rescan();
    }
    SpoolCommand take() {
        auto next = spool->next();
        REQUIRE(std::holds_alternative<SpoolCommand>(next));
        return std::get<SpoolCommand>(std::move(next));
    }
};

}  // namespace

TEST_CASE("the group reads answers to its own commands only", "[spool]") {
    SharedSpool shared;
    for (const auto& [mode, wanted] : {std::pair{0600, 0600}, {0640, 0600}, {0660, 0640}}) {
        CAPTURE(mode);
        shared.put("good", static_cast<mode_t>(mode));
        shared.spool->finish(shared.take(), Answer::done("secret"));
        CHECK(mode_of(shared.in("done", "good")) == static_cast<mode_t>(wanted));
        shared.put("bad", static_cast<mode_t>(mode));
        shared.spool->finish(shared.take(), Answer::failed(CommandErrc::failed, "secret"));
        CHECK(mode_of(shared.in("failed", "bad")) == static_cast<mode_t>(wanted));
        shared.put("not a name", static_cast<mode_t>(mode));
        const auto refused = shared.spool->next();
        REQUIRE(std::holds_alternative<SpoolRejection>(refused));
        for (const auto& file : std::filesystem::directory_iterator{shared.options.path + "/failed"}) {
            const auto name = file.path().filename().string();
            if (!name.starts_with("not_a_name-") || name.ends_with("~refused")) continue;
            CHECK(mode_of(file.path().string()) == static_cast<mode_t>(wanted));
        }
    }
    if (::geteuid() != 0) return;  // only root can create a file of another user
    shared.put("theirs", 0600);
    REQUIRE(::chown(shared.in("new", "theirs").c_str(), 54321, static_cast<gid_t>(-1)) == 0);
    shared.spool->finish(shared.take(), Answer::done());
    CHECK(mode_of(shared.in("done", "theirs")) == 0640);
}

TEST_CASE("after a crash the group reads answers to its own commands only", "[spool]") {
    for (const auto& [mode, wanted] : {std::pair{0600, 0600}, {0660, 0640}}) {
        CAPTURE(mode);
        SharedSpool shared;
        shared.put("again", static_cast<mode_t>(mode));
        shared.take();
        shared.open();
        shared.spool->finish(shared.take(), Answer::done());
        CHECK(mode_of(shared.in("done", "again")) == static_cast<mode_t>(wanted));
        shared.put("crashes", static_cast<mode_t>(mode));
        shared.take();
        shared.open();
        shared.take();
        shared.open();
        REQUIRE(std::holds_alternative<SpoolRejection>(shared.spool->next()));
        REQUIRE(std::holds_alternative<SpoolIdle>(shared.spool->next()));
        CHECK(mode_of(shared.in("failed", "crashes")) == static_cast<mode_t>(wanted));
    }
}

TEST_CASE("a folder that gets the setgid bit later shares its parts after the next start", "[spool]") {
    TemporaryFolder folder;
    SpoolOptions options;
    options.path = folder / "spool";
    REQUIRE(Spool::open(options));
    CHECK(mode_of(options.path + "/new") == 0700);
    REQUIRE(::chmod(options.path.c_str(), 02750) == 0);
    REQUIRE(Spool::open(options));
    CHECK(mode_of(options.path + "/new") == 02770);
    CHECK(mode_of(options.path + "/done") == 02750);
    CHECK(mode_of(options.path + "/lock") == 0640);
}

TEST_CASE("only new/ may have the setgid bit", "[spool]") {
    if (::geteuid() != 0) return;  // only root can create a file of another user
    Desk desk;
    REQUIRE(::chown(desk.in("new").c_str(), 0, 12345) == 0);
    REQUIRE(::chmod(desk.in("new").c_str(), 02770) == 0);
    desk.open();
    CHECK(mode_of(desk.in("tmp")) == 0700);
    desk.put("a", "x");
    REQUIRE(::chown(desk.in("new", "a").c_str(), 54321, 12345) == 0);
    desk.run();
    CHECK(desk.executed == Strings{"a"});
}

namespace {

/// Runs `work` as a user that is not in the spool's group, and returns its result. Needs root.
template <class Work>
int as_a_user_outside_of_the_group(Work work) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const bool became = ::setgroups(0, nullptr) == 0 && ::setgid(12345) == 0 && ::setuid(12345) == 0;
        ::umask(027);
        ::_exit(became ? work() : 99);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

void make_shared(const std::string& path) {
    REQUIRE(::mkdir(path.c_str(), 0700) == 0);
    REQUIRE(::chown(path.c_str(), 12345, 54321) == 0);
    REQUIRE(::chmod(path.c_str(), 02770) == 0);
}

}  // namespace

TEST_CASE("a daemon outside the group can use folders that were created before", "[spool]") {
    if (::geteuid() != 0) return;
    Desk desk;
    REQUIRE(::chmod(desk.folder.path().c_str(), 0755) == 0);
    desk.options.path = desk.folder / "shared";
    make_shared(desk.options.path);
    for (const char* part : {"tmp", "new"}) make_shared(desk.in(part));
    write_to(desk.in("new", "a"), "x");
    REQUIRE(::chown(desk.in("new", "a").c_str(), 23456, 54321) == 0);
    REQUIRE(::chmod(desk.in("new", "a").c_str(), 0604) == 0);
    const int executed = as_a_user_outside_of_the_group([&] {
        const auto spool = Spool::open(desk.options);
        if (!spool) return 0;
        auto next = (*spool)->next();
        for (int look = 0; look < 2 && std::holds_alternative<SpoolIdle>(next); ++look) {
            (*spool)->rescan();
            next = (*spool)->next();
        }
        auto* const command = std::get_if<SpoolCommand>(&next);
        if (command == nullptr) return 0;
        (*spool)->finish(std::move(*command), Answer::done());
        return 1;
    });
    CHECK(executed == 1);
    for (const char* part : {"tmp", "new"}) CHECK(mode_of(desk.in(part)) == 02770);
    for (const char* part : {"done", "failed"}) CHECK(mode_of(desk.in(part)) == 02750);
    CHECK(mode_of(desk.in("cur")) == 02700);
    CHECK(mode_of(desk.in("done", "a")) == 0640);
    struct stat answer;
    REQUIRE(::stat(desk.in("done", "a").c_str(), &answer) == 0);
    CHECK(answer.st_gid == 54321);
}

TEST_CASE("if a folder cannot be shared with its group the error says what to do", "[spool]") {
    if (::geteuid() != 0) return;
    Desk desk;
    REQUIRE(::chmod(desk.folder.path().c_str(), 0755) == 0);
    desk.options.path = desk.folder / "shared";
    make_shared(desk.options.path);
    const int told = as_a_user_outside_of_the_group([&] {
        const auto spool = Spool::open(desk.options);
        return !spool && has(spool.error(), "install -d -o 12345 -g 54321 -m 2770 " + desk.in("tmp")) ? 1 : 0;
    });
    CHECK(told == 1);
}

TEST_CASE("a world-writable folder is rejected", "[spool]") {
    TemporaryFolder folder;
    SpoolOptions options;
    options.path = folder / "spool";
    REQUIRE(::mkdir(options.path.c_str(), 0700) == 0);
    REQUIRE(::chmod(options.path.c_str(), 0777) == 0);
    auto spool = Spool::open(options);
    REQUIRE_FALSE(spool);
    CHECK(has(spool.error(), options.path));
    CHECK(has(spool.error(), "chmod o-w"));
    REQUIRE(::chmod(options.path.c_str(), 0700) == 0);
    REQUIRE(::symlink("/tmp", (options.path + "/new").c_str()) == 0);
    spool = Spool::open(options);
    REQUIRE_FALSE(spool);
    CHECK(has(spool.error(), options.path + "/new"));
}

TEST_CASE("if a folder cannot be created the error says where and what to do", "[spool]") {
    TemporaryFolder folder;
    write_to(folder / "file", "x");
    SpoolOptions options;
    options.path = folder / "file/spool";
    const auto spool = Spool::open(options);
    REQUIRE_FALSE(spool);
    CHECK(has(spool.error(), options.path));
    CHECK(has(spool.error(), "--spool DIR"));
}

TEST_CASE("an error about a spool in use names the process", "[spool]") {
    Desk desk;
    const auto second = Spool::open(desk.options);
    REQUIRE_FALSE(second);
    CHECK(has(second.error(), "in use by process " + std::to_string(::getpid())));
    const auto holder = spool_holder(desk.options.path);
    REQUIRE(holder);
    CHECK(holder->held);
    CHECK(holder->pid == ::getpid());
    desk.spool.reset();
    CHECK_FALSE(spool_holder(desk.options.path)->held);
    CHECK(Spool::open(desk.options));
}

TEST_CASE("a process that may only read the lock cannot keep a daemon from starting", "[spool]") {
    Desk desk;
    desk.spool.reset();
    const Descriptor reader{::open(desk.in("lock").c_str(), O_RDONLY | O_CLOEXEC)};
    struct flock lock {};
    lock.l_type = F_RDLCK;
    lock.l_whence = SEEK_SET;
    REQUIRE(::fcntl(reader.get(), F_OFD_SETLK, &lock) == 0);
    CHECK_FALSE(spool_holder(desk.options.path)->held);
    desk.open();
    CHECK(spool_holder(desk.options.path)->held);
    CHECK_FALSE(Spool::open(desk.options));
}

TEST_CASE("a spool that does not exist has no holder", "[spool]") {
    TemporaryFolder folder;
    const auto holder = spool_holder(folder / "none");
    REQUIRE(holder);
    CHECK_FALSE(holder->held);
}

TEST_CASE("a folder that was removed or replaced is noticed", "[spool]") {
    Desk desk;
    CHECK(desk.spool->in_place());
    SECTION("a part") { std::filesystem::remove_all(desk.in("new")); }
    SECTION("a part was replaced") {
        std::filesystem::rename(desk.in("done"), desk.in("done-old"));
        REQUIRE(::mkdir(desk.in("done").c_str(), 0700) == 0);
    }
    SECTION("the lock") { std::filesystem::remove(desk.in("lock")); }
    SECTION("the whole spool") { std::filesystem::remove_all(desk.options.path); }
    CHECK_FALSE(desk.spool->in_place());
    desk.open();
    CHECK(desk.spool->in_place());
    desk.put("a", "x");
    desk.run();
    CHECK(desk.executed == Strings{"a"});
}

TEST_CASE("a command is not executed again if the folder of its answer is removed", "[spool]") {
    Desk desk;
    desk.put("a", "x");
    desk.on_execute = [&](const SpoolCommand&) { std::filesystem::remove(desk.in("done")); };
    CHECK(has(desk.run(), "an answer cannot be moved to its folder"));
    REQUIRE_FALSE(desk.spool->in_place());
    desk.on_execute = {};
    desk.open();
    CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{"a"});
    CHECK(text_in(desk.in("done", "a")) == "ok\ndone a\n");
    CHECK(desk.left().empty());
}

// --- files that have been answered

namespace {

/// A spool with a clock that only the test sets.
struct AgingDesk : Desk {
    std::chrono::steady_clock::time_point now{std::chrono::hours{1000}};

    explicit AgingDesk(SpoolOptions o = {}) : Desk(std::move(o)) {
        options.clock = [this] { return now; };
        open();
    }
    void sweep() const {
        while (!spool->sweep(3)) {
        }
    }
    void age(std::chrono::milliseconds time) {
        now += time;
        sweep();
    }
    std::size_t count(std::string_view part) const { return names_in(in(part)).size(); }
};

/// Sets the times of a file to years before or after now.
void set_year(const std::string& path, int years) {
    const std::timespec time{::time(nullptr) + years * 365L * 86'400, 0};
    const std::array<std::timespec, 2> times{time, time};
    REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times.data(), 0) == 0);
}

}  // namespace

TEST_CASE("answers, failed commands and unfinished files are kept for their times", "[spool]") {
    using namespace std::chrono_literals;
    AgingDesk desk;
    for (int i = 0; i < 5; ++i) {
        desk.put("ok" + std::to_string(i), "x");
        desk.put("bad" + std::to_string(i), "fail");
    }
    REQUIRE(::mkdir(desk.in("new", "folder").c_str(), 0700) == 0);
    desk.run();
    write_to(desk.in("tmp", "unfinished"), "x");
    desk.sweep();
    desk.put("waits", "x");
    desk.age(10min - 1ms);
    CHECK(desk.count("done") == 5);
    desk.age(1ms);
    CHECK(desk.count("done") == 0);
    CHECK(desk.count("failed") == 7);
    desk.age(50min - 1ms);
    CHECK(desk.count("failed") == 7);
    CHECK(desk.left() == Strings{"tmp/unfinished", "new/waits"});
    desk.age(1ms);
    CHECK(desk.count("failed") == 0);
    CHECK(desk.left() == Strings{"new/waits"});
}

TEST_CASE("the age of a file counts from when this process saw it, whatever the wall clock says", "[spool]") {
    using namespace std::chrono_literals;
    AgingDesk desk;
    desk.put("a", "x");
    desk.run();
    write_to(desk.in("tmp", "draft"), "x");
    const int years = GENERATE(-10, 10);
    set_year(desk.in("done", "a"), years);
    set_year(desk.in("tmp", "draft"), years);
    SECTION("in the same life") {}
    SECTION("after a new start") { desk.open(); }
    desk.sweep();
    desk.age(10min - 1ms);
    CHECK(desk.count("done") == 1);
    CHECK(desk.count("tmp") == 1);
    desk.age(50min + 1ms);
    CHECK(desk.count("done") == 0);
    CHECK(desk.count("tmp") == 0);
}

TEST_CASE("a file that is still being written in tmp/ stays", "[spool]") {
    using namespace std::chrono_literals;
    AgingDesk desk;
    write_to(desk.in("tmp", "draft"), "x");
    desk.sweep();
    desk.now += 59min;
    write_to(desk.in("tmp", "draft"), "xy");
    desk.age(1min);
    CHECK(desk.count("tmp") == 1);
    desk.age(59min);
    CHECK(desk.count("tmp") == 1);
    desk.age(1min);
    CHECK(desk.count("tmp") == 0);
}

TEST_CASE("of too many answers the oldest are removed at once", "[spool]") {
    SpoolOptions options;
    options.max_answers = 3;
    AgingDesk desk{options};
    for (int i = 0; i < 6; ++i) {
        desk.put("ok" + std::to_string(i), "x");
        desk.put("bad" + std::to_string(i), "fail");
        desk.run();
        desk.now += std::chrono::milliseconds{1};
    }
    CHECK(names_in(desk.in("done")) == Strings{"ok3", "ok4", "ok5"});
    CHECK(names_in(desk.in("failed")) == Strings{"bad3", "bad4", "bad5"});
}

TEST_CASE("of answers that are too large together the oldest are removed at once", "[spool]") {
    SpoolOptions options;
    options.max_answers_size = 20;
    AgingDesk desk{options};
    for (const char* name : {"a", "b", "c"}) {  // 10 bytes each
        desk.put(name, "x");
        desk.run();
        desk.now += std::chrono::milliseconds{1};
    }
    CHECK(names_in(desk.in("done")) == Strings{"b", "c"});
    desk.put("long-enough-for-more-than-20", "x");
    desk.run();
    CHECK(names_in(desk.in("done")) == Strings{"long-enough-for-more-than-20"});
}

TEST_CASE("of too many files that an earlier process left the oldest are removed", "[spool]") {
    SpoolOptions options;
    options.max_answers = 3;
    AgingDesk desk{options};
    for (int i = 0; i < 8; ++i) {
        const auto path = desk.in("done", std::to_string(i));
        write_to(path, "x");
        set_year(path, -i);
    }
    desk.open();
    desk.sweep();
    CHECK(names_in(desk.in("done")) == Strings{"0", "1", "2"});
}

TEST_CASE("a name that is used again has the age of its last answer", "[spool]") {
    using namespace std::chrono_literals;
    AgingDesk desk;
    desk.put("a", "x");
    desk.run();
    desk.now += 6min;
    desk.put("a", "x");
    desk.run();
    desk.age(6min);
    CHECK(desk.count("done") == 1);
    desk.age(4min);
    CHECK(desk.count("done") == 0);
}

TEST_CASE("a command that would fail again is not kept", "[spool]") {
    Desk desk;
    const auto code = GENERATE(CommandErrc::gone, CommandErrc::dropped, CommandErrc::refused);
    desk.put("a", "send 0-1-1\n" + std::string(100'000, 'x'));
    auto next = desk.spool->next();
    desk.spool->finish(std::get<SpoolCommand>(std::move(next)), Answer::failed(code, "no"));
    const auto text = text_in(desk.in("failed", "a"));
    CHECK((text.size() > 100'000) == (code == CommandErrc::refused));
    CHECK(text.starts_with("error " + std::string{to_string(code)} + " no\n"));
}

TEST_CASE("an answer that is not wanted is not written", "[spool]") {
    Desk desk;
    write_to(desk.in("done", "a"), "ok\nold\n");
    desk.put("a", "x");
    auto next = desk.spool->next();
    auto answer = GENERATE(Answer::done("x"), Answer::failed(CommandErrc::usage, "x"));
    answer.wanted = false;
    desk.spool->finish(std::get<SpoolCommand>(std::move(next)), answer);
    CHECK(desk.run() == "idle");
    for (const char* part : {"done", "failed"}) CHECK(names_in(desk.in(part)).empty());
    CHECK(desk.left().empty());
}
