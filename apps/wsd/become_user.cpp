#include "wsd/become_user.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <system_error>

#include "wsserver/base/descriptor.hpp"

namespace wsd {

namespace {

using wsserver::Result;
using wsserver::Unexpected;

struct User {
    uid_t id = 0;
    gid_t group = 0;
};

std::optional<User> find_user(const std::string& name) {
    std::array<char, 16 * 1024> text;
    passwd entry{};
    passwd* found = nullptr;
    if (::getpwnam_r(name.c_str(), &entry, text.data(), text.size(), &found) != 0 || found == nullptr) return {};
    return User{entry.pw_uid, entry.pw_gid};
}

/// Leaves devices and pipes as they are. Does not follow a link, and does not give away a file that has another name,
/// which may be a file of root.
bool give_to(const User& user, const std::string& path) {
    const wsserver::Descriptor file{::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
    if (!file) return errno == ENOENT;
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) return false;
    if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode) || S_ISFIFO(status.st_mode)) return true;
    if (S_ISREG(status.st_mode) && status.st_nlink > 1) {
        errno = EMLINK;
        return false;
    }
    return ::fchownat(file.get(), "", user.id, user.group, AT_EMPTY_PATH) == 0;
}

std::string reason() { return std::generic_category().message(errno); }

}  // namespace

Result<void, std::string> become_user(const std::string& name, std::span<const std::string> files) {
    const auto user = find_user(name);
    if (!user) return Unexpected{fmt::format("user: there is no user `{}`: create it, or name another one", name)};
    if (::geteuid() == user->id && ::getuid() == user->id) return {};
    if (::geteuid() != 0) {
        return Unexpected{fmt::format("user: wsd must be started by root to become `{}`, and it was started by user {}",
                                      name, ::geteuid())};
    }
    for (const auto& file : files) {
        if (!give_to(*user, file)) {
            return Unexpected{fmt::format("user: {} cannot be given to `{}`: {}", file, name, reason())};
        }
    }
    // All threads, and all three ids, so that root cannot come back.
    if (::initgroups(name.c_str(), user->group) != 0 || ::setresgid(user->group, user->group, user->group) != 0 ||
        ::setresuid(user->id, user->id, user->id) != 0) {
        return Unexpected{fmt::format("user: wsd cannot become `{}`: {}", name, reason())};
    }
    return {};
}

}  // namespace wsd
