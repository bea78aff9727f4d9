#include "wsserver/server/detail/memory_limit.hpp"

#include <filesystem>
#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/folder.hpp"

using namespace wsserver;

namespace {

/// A root folder with files of /proc and /sys.
struct Root {
    test::TemporaryFolder folder;

    void write(std::string_view file, std::string_view text) const {
        std::filesystem::create_directories(std::filesystem::path{folder / file}.parent_path());
        folder.write(file, text);
    }
    std::size_t limit() const { return default_memory_limit(folder.path()); }
};

constexpr std::string_view eight_gib = "MemTotal:        8388608 kB\nMemFree:         1 kB\n";
constexpr std::size_t mib = std::size_t{1} << 20;

}  // namespace

TEST_CASE("the default limit is half of the memory of the machine", "[memory_limit]") {
    const Root root;
    CHECK(root.limit() == 0);
    root.write("proc/meminfo", eight_gib);
    CHECK(root.limit() == 4096 * mib);
    root.write("proc/self/cgroup", "0::/\n");
    CHECK(root.limit() == 4096 * mib);
}

TEST_CASE("the limit of a cgroup of version 2 counts if it is less", "[memory_limit]") {
    const Root root;
    root.write("proc/meminfo", eight_gib);
    SECTION("of its own group") {
        root.write("proc/self/cgroup", "0::/system.slice/wsd.service\n");
        root.write("sys/fs/cgroup/system.slice/memory.max", "max\n");
        root.write("sys/fs/cgroup/system.slice/wsd.service/memory.max", "536870912\n");
        CHECK(root.limit() == 256 * mib);
    }
    SECTION("of a group above it") {
        root.write("proc/self/cgroup", "0::/system.slice/wsd.service\n");
        root.write("sys/fs/cgroup/system.slice/memory.max", "268435456\n");
        root.write("sys/fs/cgroup/system.slice/wsd.service/memory.max", "536870912\n");
        CHECK(root.limit() == 128 * mib);
    }
    SECTION("of the root in a container") {
        root.write("proc/self/cgroup", "0::/\n");
        root.write("sys/fs/cgroup/memory.max", "536870912\n");
        CHECK(root.limit() == 256 * mib);
    }
    SECTION("but not a larger one") {
        root.write("proc/self/cgroup", "0::/\n");
        root.write("sys/fs/cgroup/memory.max", "53687091200\n");
        CHECK(root.limit() == 4096 * mib);
    }
}

TEST_CASE("the limit of a cgroup of version 1 counts if it is less", "[memory_limit]") {
    const Root root;
    root.write("proc/meminfo", eight_gib);
    root.write("proc/self/cgroup", "9:cpu,cpuacct:/a\n4:memory:/docker/1234\n1:name=systemd:/b\n");
    root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    CHECK(root.limit() == 4096 * mib);
    root.write("sys/fs/cgroup/memory/docker/1234/memory.limit_in_bytes", "1073741824\n");
    CHECK(root.limit() == 512 * mib);
}

TEST_CASE("files that cannot be understood are ignored", "[memory_limit]") {
    const Root root;
    root.write("proc/meminfo", "nonsense\n");
    root.write("proc/self/cgroup", "nonsense\n\n:\n0:\n");
    root.write("sys/fs/cgroup/memory.max", "many\n");
    CHECK(root.limit() == 0);
}
