#pragma once

#include "wsserver/control/detail/spool_queue.hpp"

#include <iterator>
#include <utility>

namespace wsserver {

namespace {

/// How many names are kept in memory. The others are read from the folder later.
constexpr std::size_t max_names = 4096;

/// A file whose writers are not known is complete if this many further looks find it unchanged.
constexpr int looks_to_settle = 2;

/// After this many looks without a file it is forgotten. More than one, since a look may end before it.
constexpr int looks_to_forget = 16;

}  // namespace

void SpoolQueue::notice(std::string_view name) {
    if (const auto known = incomplete_.find(name); known != incomplete_.end()) incomplete_.erase(known);
    // Before the first scan, or after the names that a scan could keep: a later scan will find it.
    const bool after_known = names_.empty() || name > names_.rbegin()->first;
    if (name.empty() || (scan_needed_ && after_known)) return;
    names_.insert_or_assign(std::string{name}, Found::noticed);
    shorten();
}

void SpoolQueue::rescan() {
    scan_needed_ = true;
    ++looks_;
    incomplete_.clear();
    std::erase_if(unsettled_, [this](const auto& entry) { return entry.second.look + looks_to_forget < looks_; });
}

void SpoolQueue::ignore(const std::string& name, ino_t number) {
    if (ignored_.size() < max_names) ignored_[name] = number;
}

void SpoolQueue::shorten() {
    if (names_.size() <= max_names) return;
    names_.erase(std::prev(names_.end()));
    scan_needed_ = true;
}

Result<std::optional<std::string>, std::error_code> SpoolQueue::take() {
    for (;;) {
        // With very many incomplete files the others wait for the next look.
        if (names_.empty() && scan_needed_ && incomplete_.size() < max_names) {
            if (const auto error = scan()) return Unexpected{error};
        }
        if (names_.empty()) return std::optional<std::string>{};
        auto first = names_.extract(names_.begin());
        if (first.mapped() == Found::scanned) {
            const auto complete = is_complete(first.key());
            if (!complete) {
                names_.insert(std::move(first));
                return Unexpected{complete.error()};
            }
            if (!*complete) {
                incomplete_.insert(std::move(first.key()));
                continue;
            }
        }
        return std::optional{std::move(first.key())};
    }
}

/// A file that an event reported has been renamed or closed. One that a scan found may still be written, against the
/// rules.
Result<bool, std::error_code> SpoolQueue::is_complete(const std::string& name) {
    struct stat status;
    const auto error = disk_.examine(folder_, name, status);
    if (is_gone(error)) return false;
    if (error) return Unexpected{error};
    if (!S_ISREG(status.st_mode)) return true;  // not a command, so it is not opened
    switch (disk_.writers_of(folder_, name)) {
        case SpoolDisk::Writers::none:
            unsettled_.erase(name);
            return true;
        case SpoolDisk::Writers::some:
            return false;
        case SpoolDisk::Writers::unknown:
            break;
    }
    return has_settled(name, status);
}

bool SpoolQueue::has_settled(const std::string& name, const struct stat& status) {
    const auto known = unsettled_.find(name);
    if (known == unsettled_.end()) {
        // If there are more, the next ones wait until these are complete.
        if (unsettled_.size() < max_names) {
            unsettled_[name] = {status.st_ino, status.st_size, status.st_mtim, looks_, 0};
        }
        return false;
    }
    auto& file = known->second;
    const bool unchanged = file.number == status.st_ino && file.size == status.st_size &&
                           file.written.tv_sec == status.st_mtim.tv_sec &&
                           file.written.tv_nsec == status.st_mtim.tv_nsec;
    const int looks = unchanged ? file.unchanged + (file.look == looks_ ? 0 : 1) : 0;
    file = {status.st_ino, status.st_size, status.st_mtim, looks_, looks};
    if (looks < looks_to_settle) return false;
    unsettled_.erase(known);
    return true;
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
        // Too many folders that cannot be moved: others wait until these are gone.
        if (ignored_.size() >= max_names && entry->d_type == DT_DIR) continue;
        if (incomplete_.contains(name)) continue;
        names_.emplace(std::move(name), Found::scanned);
        shorten();
    }
    ignored_ = std::move(still_ignored);
    return {};
}

}  // namespace wsserver
