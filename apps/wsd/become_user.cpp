#include "wsd/become_user.hpp"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <system_error>

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
        if (::lchown(file.c_str(), user->id, user->group) != 0 && errno != ENOENT) {
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
