#include "wsd/file_trouble.hpp"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <vector>

#include "wsserver/base/shell_words.hpp"

namespace wsd {

namespace {

/// The name of wsd's user, or the number if it has no name.
std::string own_user() {
    std::array<char, 16 * 1024> text;
    passwd entry{};
    passwd* found = nullptr;
    if (::getpwuid_r(::geteuid(), &entry, text.data(), text.size(), &found) != 0 || found == nullptr) {
        return fmt::format("{}", ::geteuid());
    }
    return entry.pw_name;
}

/// The command for a file that exists, for one that does not, or for its folder.
std::vector<std::string> permitting_command(const std::string& path, mode_t mode) {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0) {
        if (status.st_uid == ::geteuid()) return {"chmod", "u+rw", path};
        return {"chown", own_user(), path};
    }
    const auto folder = std::filesystem::path{path}.parent_path();
    if (folder.empty() || ::stat(folder.c_str(), &status) == 0) {
        return {"install", "-o", own_user(), "-m", fmt::format("{:o}", mode), "/dev/null", path};
    }
    return {"install", "-d", "-o", own_user(), folder.string()};
}

}  // namespace

bool is_full_disk(const std::error_code& error) {
    return error == std::errc::no_space_on_device || error.value() == EDQUOT;
}

std::string how_to_permit(const std::string& path, const std::error_code& error, mode_t mode) {
    if (error != std::errc::permission_denied || ::geteuid() == 0) return {};
    return "; as root: " + wsserver::join_words(permitting_command(path, mode));
}

}  // namespace wsd
