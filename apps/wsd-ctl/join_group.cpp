#include "wsd-ctl/join_group.hpp"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace wsd::ctl {

namespace {

std::string name_of_user(uid_t user) {
    const passwd* const entry = ::getpwuid(user);
    return entry != nullptr ? entry->pw_name : std::to_string(user);
}

std::string name_of_group(gid_t group) {
    const struct group* const entry = ::getgrgid(group);
    return entry != nullptr ? entry->gr_name : std::to_string(group);
}

}  // namespace

std::string how_to_join(const std::string& spool) {
    const auto user = name_of_user(::geteuid());
    struct stat folder;
    if (::stat(spool.c_str(), &folder) != 0) return "give commands as root, or as the user of wsd";
    if ((folder.st_mode & S_ISGID) != 0) {
        return fmt::format("as root `usermod -aG {} {}`, then log in again", name_of_group(folder.st_gid), user);
    }
    // As in docs/operating.md.
    return fmt::format(
        "only {0} and root give commands; to let a group, stop wsd and run as root: groupadd wsd-orders; usermod -aG "
        "wsd-orders {0}; usermod -aG wsd-orders {1}; install -d -o {0} -g wsd-orders -m 2750 {2}; install -d -o {0} -g "
        "wsd-orders -m 2770 {2}/tmp {2}/new; then start wsd, and log in again",
        name_of_user(folder.st_uid), user, spool);
}

}  // namespace wsd::ctl
