#pragma once

#include "wsserver/control/detail/user_names.hpp"

#include <fmt/core.h>
#include <pwd.h>

#include <array>

#include "wsserver/base/shell_words.hpp"

namespace wsserver {

namespace {

/// More users than may give commands on any machine. Beyond that, forget all of them rather than grow.
constexpr std::size_t max_known_users = 1'000;

}  // namespace

const std::string& UserNames::describe(uid_t user) {
    const auto found = known_.find(user);
    if (found != known_.end()) return found->second;
    if (known_.size() >= max_known_users) known_.clear();
    std::array<char, 4096> memory;
    passwd entry{};
    passwd* result = nullptr;
    const bool named = ::getpwuid_r(user, &entry, memory.data(), memory.size(), &result) == 0 && result != nullptr;
    auto text = named ? fmt::format("{} ({})", escape_control(entry.pw_name), user) : fmt::format("{}", user);
    return known_.emplace(user, std::move(text)).first->second;
}

}  // namespace wsserver
