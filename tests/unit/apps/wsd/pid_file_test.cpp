#include "wsd/pid_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "wsserver/base/descriptor.hpp"

using wsd::PidFile;

namespace {

std::string content_of(const std::string& path) {
    std::ifstream file{path};
    return {std::istreambuf_iterator<char>{file}, {}};
}

std::string error_of(const std::string& path) {
    const auto file = PidFile::take(path);
    REQUIRE(!file);
    return file.error();
}

}  // namespace

TEST_CASE("the pid file contains the process id while the daemon runs", "[wsd][pid_file]") {
    const wsserver::test::TemporaryFolder folder;
    const auto path = folder.path() + "/new/folder/wsd.pid";
    {
        const auto file = PidFile::take(path);
        REQUIRE(file);
        CHECK(content_of(path) == std::to_string(::getpid()) + "\n");
    }
    CHECK(!std::filesystem::exists(path));
}

TEST_CASE("a second daemon fails, and the error names the first one's process", "[wsd][pid_file]") {
    const wsserver::test::TemporaryFolder folder;
    const auto path = folder.path() + "/wsd.pid";
    std::optional first{PidFile::take(path)};
    REQUIRE(*first);
    CHECK(error_of(path) == "another wsd is running already, process " + std::to_string(::getpid()) +
                                ": it holds the pid file " + path + "; stop it, or name another file with --pid-file");
    CHECK(content_of(path) == std::to_string(::getpid()) + "\n");
    first.reset();
    CHECK(PidFile::take(path));
}

TEST_CASE("the file of a killed process does no harm", "[wsd][pid_file]") {
    const wsserver::test::TemporaryFolder folder;
    const auto path = folder.path() + "/wsd.pid";
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const auto file = PidFile::take(path);
        ::_exit(file ? 0 : 1);  // without any destructor, as kill -9 does
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    REQUIRE(content_of(path) == std::to_string(child) + "\n");

    const auto file = PidFile::take(path);
    REQUIRE(file);
    CHECK(content_of(path) == std::to_string(::getpid()) + "\n");
}

namespace {

/// A read lock, which everyone who may read the file can hold.
wsserver::Descriptor read_lock(const std::string& path) {
    wsserver::Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    struct flock lock {};
    lock.l_type = F_RDLCK;
    lock.l_whence = SEEK_SET;
    if (::fcntl(file.get(), F_OFD_SETLK, &lock) != 0) file.reset();
    return file;
}

}  // namespace

TEST_CASE("a process that may only read the pid file cannot keep a daemon from starting", "[wsd][pid_file]") {
    const wsserver::test::TemporaryFolder folder;
    const auto path = folder.write("wsd.pid", "1234\n");
    const auto lock = read_lock(path);
    REQUIRE(lock);
    wsserver::Descriptor whole{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    REQUIRE(::flock(whole.get(), LOCK_EX | LOCK_NB) == 0);
    const auto file = PidFile::take(path);
    REQUIRE(file);
    CHECK(content_of(path) == std::to_string(::getpid()) + "\n");
    CHECK_FALSE(read_lock(path));
    CHECK(error_of(path).starts_with("another wsd is running already"));
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0644);
}

TEST_CASE("the old content of a stale file is removed", "[wsd][pid_file]") {
    const wsserver::test::TemporaryFolder folder;
    const auto path = folder.write("wsd.pid", "12345678901234567890 and more\n");
    const auto file = PidFile::take(path);
    REQUIRE(file);
    CHECK(content_of(path) == std::to_string(::getpid()) + "\n");
}

TEST_CASE("a full disk prevents no start: the lock counts, and the file is empty", "[wsd][pid_file]") {
    const wsserver::test::TemporaryFolder folder;
    const auto path = folder.write("wsd.pid", "1234\n");
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    for (const rlim_t bytes : {rlim_t{0}, rlim_t{1}}) {  // nothing is written, or a part of the number
        const rlimit full{bytes, before.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &full) == 0);
        const auto file = PidFile::take(path);
        ::setrlimit(RLIMIT_FSIZE, &before);
        REQUIRE(file);
        CHECK(
            file->missing().starts_with("the pid file " + path + " is locked, but the process id cannot be written: "));
        CHECK(content_of(path).empty());
        CHECK(error_of(path).starts_with("another wsd is running already: it holds the pid file " + path));
    }
    const auto file = PidFile::take(path);
    REQUIRE(file);
    CHECK(file->missing().empty());
    CHECK(content_of(path) == std::to_string(::getpid()) + "\n");
}

TEST_CASE("a process id that could not be written is written later", "[wsd][pid_file]") {
    const wsserver::test::TemporaryFolder folder;
    const auto path = folder.path() + "/wsd.pid";
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const rlimit full{0, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &full) == 0);
    auto file = PidFile::take(path);
    const bool too_early = file && file->complete();
    ::setrlimit(RLIMIT_FSIZE, &before);
    REQUIRE(file);
    CHECK_FALSE(too_early);
    CHECK_FALSE(file->missing().empty());
    CHECK(file->complete());
    CHECK(file->missing().empty());
    CHECK(content_of(path) == std::to_string(::getpid()) + "\n");
}

TEST_CASE("a file that a full disk cannot take is created and locked later", "[wsd][pid_file]") {
    const wsserver::test::TemporaryFolder folder;
    const auto disk = folder.path() + "/disk";
    std::filesystem::create_directory(disk);
    // Its only inode is that of the folder.
    if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=64k,nr_inodes=1") != 0) return;
    for (const auto* const name : {"/wsd.pid", "/new/folder/wsd.pid"}) {
        auto file = PidFile::take(disk + name);
        REQUIRE(file);
        CHECK(file->missing().ends_with(": No space left on device; a reload tries again"));
        CHECK_FALSE(file->complete());
        REQUIRE(::mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT, "size=64k,nr_inodes=10") == 0);
        CHECK(file->complete());
        CHECK(file->missing().empty());
        CHECK(content_of(disk + name) == std::to_string(::getpid()) + "\n");
        CHECK(error_of(disk + name).starts_with("another wsd is running already"));
        ::umount2(disk.c_str(), MNT_DETACH);
        REQUIRE(::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=64k,nr_inodes=1") == 0);
    }
    ::umount2(disk.c_str(), MNT_DETACH);
}

TEST_CASE("a file that replaced the pid file is not removed", "[wsd][pid_file]") {
    const wsserver::test::TemporaryFolder folder;
    const auto path = folder.path() + "/wsd.pid";
    {
        const auto file = PidFile::take(path);
        REQUIRE(file);
        std::filesystem::remove(path);
        folder.write("wsd.pid", "77\n");
    }
    CHECK(content_of(path) == "77\n");
}

TEST_CASE("links, pipes and folders are not accepted as a pid file", "[wsd][pid_file]") {
    const wsserver::test::TemporaryFolder folder;
    const auto target = folder.write("precious", "precious");
    const auto link = folder.path() + "/link.pid";
    std::filesystem::create_symlink(target, link);
    CHECK(error_of(link).find("it is a symbolic link") != std::string::npos);
    CHECK(content_of(target) == "precious");

    const auto pipe = folder.path() + "/pipe.pid";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    CHECK(error_of(pipe) == "the pid file " + pipe + " is not a regular file");

    CHECK(error_of(folder.path()).find("cannot be opened: Is a directory") != std::string::npos);
    CHECK(error_of(folder.path() + "/precious/wsd.pid") ==
          "the folder " + folder.path() +
              "/precious of the pid file cannot be created: Not a directory; name another file with --pid-file, or '' "
              "for none");
}
