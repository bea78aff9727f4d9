// Which files are accepted as commands.
#pragma once

#include <fmt/core.h>

#include <algorithm>

#include "wsserver/control/spool.hpp"

namespace wsserver {

namespace {

Answer refuse_file(CommandErrc code, std::string text) { return Answer::failed(code, std::move(text)); }

}  // namespace

bool is_command_file_name(std::string_view name) noexcept {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '-';
    };
    return !name.empty() && name.size() <= 128 && name != "." && name != ".." &&
           std::all_of(name.begin(), name.end(), allowed);
}

bool is_of_group(const struct stat& file, const SpoolRules& rules) {
    if (!rules.group) return false;  // the folders are for their owner only
    const bool own = file.st_uid == rules.user || file.st_uid == 0;
    return !own || (file.st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

std::optional<Answer> refusal_of(const struct stat& file, const SpoolRules& rules) {
    if (S_ISLNK(file.st_mode))
        return refuse_file(CommandErrc::bad_file, "a symbolic link is not a command: links are not followed");
    if (S_ISDIR(file.st_mode)) return refuse_file(CommandErrc::bad_file, "a folder is not a command");
    if (!S_ISREG(file.st_mode)) {
        return refuse_file(CommandErrc::bad_file, "a device, pipe or socket is not a command: it was not opened");
    }
    if (file.st_nlink > 1) {
        return refuse_file(
            CommandErrc::bad_file,
            fmt::format("the file has {} names (hard links), so it may belong to someone else: write a new file "
                        "in tmp/ and rename it",
                        file.st_nlink));
    }
    const bool of_the_group = rules.group && file.st_gid == *rules.group;
    if (file.st_uid != rules.user && file.st_uid != 0 && !of_the_group) {
        return refuse_file(CommandErrc::foreign_owner,
                           fmt::format("the file belongs to user {}: commands are accepted from user {}, root, and {}",
                                       file.st_uid, rules.user,
                                       rules.group ? fmt::format("files of group {}", *rules.group)
                                                   : "the folder's group if it has the setgid bit (chmod 2750)"));
    }
    if (static_cast<std::uint64_t>(file.st_size) > rules.max_file) {
        return refuse_file(CommandErrc::too_big, fmt::format("the file has {} bytes, the limit is {} (spool.max_file)",
                                                             file.st_size, rules.max_file));
    }
    return std::nullopt;
}

}  // namespace wsserver
