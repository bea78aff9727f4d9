#include "wsd/become_user.hpp"

#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"

TEST_CASE("root becomes another user, gives files away, and cannot come back", "[wsd][become_user]") {
    if (::geteuid() != 0) return;
    const auto* const other = ::getpwnam("daemon");
    if (other == nullptr) return;
    const wsserver::test::TemporaryFolder folder;
    const std::vector<std::string> files{folder.write("wsd.log", ""), folder.path() + "/none", "/dev/null"};
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        if (!wsd::become_user("daemon", files)) ::_exit(1);
        if (::getuid() != other->pw_uid || ::geteuid() != other->pw_uid || ::getegid() != other->pw_gid) ::_exit(2);
        if (::setuid(0) == 0 || ::seteuid(0) == 0) ::_exit(3);
        if (!wsd::become_user("daemon", {})) ::_exit(4);
        const auto back = wsd::become_user("root", {});
        ::_exit(!back && back.error().find("must be started by root") != std::string::npos ? 0 : 5);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    struct stat file {};
    REQUIRE(::stat(files.front().c_str(), &file) == 0);
    CHECK(file.st_uid == other->pw_uid);
}

TEST_CASE("a file with two names is not given away", "[wsd][become_user]") {
    if (::geteuid() != 0) return;
    const wsserver::test::TemporaryFolder folder;
    const std::vector files{folder.write("wsd.log", "")};
    REQUIRE(::link(files.front().c_str(), (folder.path() + "/other").c_str()) == 0);
    const auto done = wsd::become_user("nobody", files);
    REQUIRE_FALSE(done);
    CHECK(done.error().find("cannot be given to `nobody`: Too many links") != std::string::npos);
    struct stat file {};
    REQUIRE(::stat(files.front().c_str(), &file) == 0);
    CHECK(file.st_uid == 0);
}

TEST_CASE("a device is not given away", "[wsd][become_user]") {
    if (::geteuid() != 0) return;
    struct stat device {};
    REQUIRE(::stat("/dev/null", &device) == 0);
    CHECK(device.st_uid == 0);  // the case above has named it
}

TEST_CASE("an unknown user is an error", "[wsd][become_user]") {
    const auto done = wsd::become_user("no-such-user", {});
    REQUIRE_FALSE(done);
    CHECK(done.error() == "user: there is no user `no-such-user`: create it, or name another one");
}
