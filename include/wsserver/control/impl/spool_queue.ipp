#pragma once

#include "wsserver/control/detail/spool_queue.hpp"

#include <iterator>
#include <utility>

namespace wsserver {

namespace {

/// How many names are kept in memory. The others are read from the folder later.
constexpr std::size_t max_names = 4096;

}  // namespace

void SpoolQueue::notice(std::string_view name) {
    // Before the first scan, or after the names that a scan could keep: a later scan will find it.
    const bool after_known = names_.empty() || name > *names_.rbegin();
    if (name.empty() || (scan_needed_ && after_known)) return;
    names_.emplace(name);
    shorten();
}

void SpoolQueue::shorten() {
    if (names_.size() <= max_names) return;
    names_.erase(std::prev(names_.end()));
    scan_needed_ = true;
}

Result<std::optional<std::string>, std::error_code> SpoolQueue::take() {
    if (names_.empty() && scan_needed_) {
        if (const auto error = scan()) return Unexpected{error};
    }
    if (names_.empty()) return std::optional<std::string>{};
    return std::optional{std::move(names_.extract(names_.begin()).value())};
}

/// Is this still the same file? (On an overlay, readdir() may report another inode number than lstat().)
bool SpoolQueue::is_still(const std::pair<const std::string, ino_t>& known) const {
    struct stat status;
    return !disk_.examine(folder_, known.first, status) && status.st_ino == known.second;
}

/// Fills `names_` with the smallest names, so that the order holds.
std::error_code SpoolQueue::scan() {
    const auto stream = disk_.list(folder_);
    if (!stream) return stream.error();
    scan_needed_ = false;
    std::map<std::string, ino_t> still_ignored;
    while (const dirent* entry = ::readdir(stream->get())) {
        if (is_dot(*entry)) continue;
        std::string name{entry->d_name};
        if (const auto known = ignored_.find(name); known != ignored_.end() && is_still(*known)) {
            still_ignored.insert(*known);
            continue;
        }
        names_.insert(std::move(name));
        shorten();
    }
    ignored_ = std::move(still_ignored);
    return {};
}

}  // namespace wsserver
