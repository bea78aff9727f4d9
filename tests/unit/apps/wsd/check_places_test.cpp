#include "wsd/check_places.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include "support/catch.hpp"
#include "support/folder.hpp"

using wsd::Config;
using wsd::ConfigErrors;

namespace {

ConfigErrors check(const std::string& log_file, const std::string& spool) {
    Config config;
    config.log.file = log_file;
    config.spool.dir = spool;
    return wsd::unusable_places(config);
}

}  // namespace

TEST_CASE("a log file and a spool that can be created are fine, and nothing is created", "[wsd][check_places]") {
    const wsserver::test::TemporaryFolder folder;
    CHECK(check("", "").empty());
    CHECK(check(folder.path() + "/wsd.log", folder.path() + "/a/b/spool").empty());
    CHECK(check("/dev/null", folder.path()).empty());
    CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a log file in a folder that does not exist is an error", "[wsd][check_places]") {
    const wsserver::test::TemporaryFolder folder;
    const auto file = folder.path() + "/no/wsd.log";
    CHECK(check(file, "") ==
          ConfigErrors{"log.file (default): " + file + ": " + folder.path() + "/no is not a folder: create it"});
    CHECK(check(folder.path(), "") == ConfigErrors{"log.file (default): " + folder.path() + ": it is a folder"});
}

TEST_CASE("a spool where no folder can be is an error", "[wsd][check_places]") {
    const wsserver::test::TemporaryFolder folder;
    std::ofstream{folder.path() + "/file"};
    CHECK(check("", folder.path() + "/file/spool") ==
          ConfigErrors{"spool.dir (default): " + folder.path() + "/file/spool: " + folder.path() +
                       "/file is not a folder"});
    const auto in_proc = check("", "/proc/no/spool");  // for root, too
    REQUIRE(in_proc.size() <= 1);
    if (!in_proc.empty()) CHECK_THAT(in_proc[0], Catch::StartsWith("spool.dir (default): /proc/no/spool: nothing can"));
}
