#pragma once

#include "wsserver/handler/detail/trusted_file.hpp"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <memory>
#include <string_view>

#include "wsserver/base/shell_words.hpp"

namespace wsserver {
namespace {

bool is_trusted_user(uid_t user) { return user == 0 || user == ::geteuid() || user == ::getuid(); }

/// Some systems give each user a group of the same name, and make files group-writable by default.
bool is_private_group(gid_t group) {
    std::array<char, 4096> user_text, group_text;
    passwd user;
    passwd* user_found = nullptr;
    ::group entry;
    ::group* group_found = nullptr;
    if (::getpwuid_r(::geteuid(), &user, user_text.data(), user_text.size(), &user_found) != 0 || !user_found ||
        ::getgrgid_r(group, &entry, group_text.data(), group_text.size(), &group_found) != 0 || !group_found) {
        return false;
    }
    return user.pw_gid == group && std::string_view{user.pw_name} == entry.gr_name && *entry.gr_mem == nullptr;
}

bool others_may_write(const struct stat& status) {
    if ((status.st_mode & S_IWOTH) != 0) return true;
    return (status.st_mode & S_IWGRP) != 0 && status.st_gid != 0 && !is_private_group(status.st_gid);
}

/// `part`: what an error calls it.
Result<void, std::string> check_part(const struct stat& status, const std::string& part, const std::string& path) {
    if (!is_trusted_user(status.st_uid)) {
        return Unexpected{part + " belongs to user " + std::to_string(status.st_uid) +
                          ", who could run code here; chown it to root or to the user of this process (" +
                          std::to_string(::geteuid()) + ")"};
    }
    const bool is_sticky = S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX) != 0;
    if (is_sticky || !others_may_write(status)) return {};
    const bool by_all = (status.st_mode & S_IWOTH) != 0;
    return Unexpected{part + " is " + (by_all ? "world-writable" : "group-writable") +
                      ", so others could run code here; fix that with: chmod " + (by_all ? "o-w " : "g-w ") +
                      escape_control(path)};
}

/// The path of an open file, without links. The given one if it cannot be found out.
std::string real_path_of(int file, const std::string& path) {
    std::array<char, PATH_MAX> buffer;
    const auto size = ::readlink(("/proc/self/fd/" + std::to_string(file)).c_str(), buffer.data(), buffer.size());
    if (size > 0 && buffer[0] == '/') return {buffer.data(), static_cast<std::size_t>(size)};
    struct Free {
        void operator()(char* text) const noexcept { ::free(text); }
    };
    const std::unique_ptr<char, Free> real{::realpath(path.c_str(), nullptr)};
    return real ? std::string{real.get()} : path;
}

}  // namespace

Result<void, std::string> check_trusted(int file, const std::string& path) {
    struct stat status;
    if (::fstat(file, &status) != 0) return Unexpected{std::string{"its state cannot be read"}};
    if (auto checked = check_part(status, "it", path); !checked) return checked;
    auto folder = real_path_of(file, path);
    while (folder.size() > 1) {
        folder.resize(folder.rfind('/') == std::string::npos ? 0 : folder.rfind('/'));
        if (folder.empty()) folder = "/";
        const auto part = "its folder " + escape_control(folder);
        if (::stat(folder.c_str(), &status) != 0) return Unexpected{part + " cannot be examined"};
        if (auto checked = check_part(status, part, folder); !checked) return checked;
    }
    return {};
}

}  // namespace wsserver
