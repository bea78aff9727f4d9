#pragma once

#include "wsserver/control/detail/spool_shelf.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <tuple>

namespace wsserver {

namespace {

/// How many files are known, for which about 300 bytes of memory each are needed. Further ones are found when these are
/// gone.
constexpr std::size_t max_known_files = 100'000;

}  // namespace

bool SpoolShelf::Age::operator<(const Age& other) const {
    return std::tie(since, written.tv_sec, written.tv_nsec, name) <
           std::tie(other.since, other.written.tv_sec, other.written.tv_nsec, other.name);
}

bool SpoolShelf::is_same(const State& a, const State& b) {
    return a.number == b.number && a.size == b.size && a.written.tv_sec == b.written.tv_sec &&
           a.written.tv_nsec == b.written.tv_nsec;
}

void SpoolShelf::add(const std::string& name, std::uint64_t bytes, Time now) { insert(name, bytes, std::nullopt, now); }

void SpoolShelf::insert(const std::string& name, std::uint64_t bytes, std::optional<State> state, Time since) {
    if (const auto known = files_.find(name); known != files_.end()) erase(known);
    if (files_.size() >= max_known_files) return;
    Known file{
        .age = {since, state ? state->written : std::timespec{}, name}, .bytes = bytes, .state = state, .look = looks_};
    ages_.insert(file.age);
    bytes_ += bytes;
    files_.emplace(name, std::move(file));
}

SpoolShelf::Files::iterator SpoolShelf::erase(Files::iterator file) {
    ages_.erase(file->second.age);
    bytes_ -= file->second.bytes;
    return files_.erase(file);
}

bool SpoolShelf::look(std::size_t most, Time now) {
    if (!stream_) {
        auto stream = disk_.list(folder_);
        if (!stream) return true;  // it is tried again in the next round
        stream_ = *std::move(stream);
        look_begin_ = now;
        ++looks_;
    }
    for (std::size_t i = 0; i < most; ++i) {
        const dirent* entry = ::readdir(stream_.get());
        if (entry == nullptr) {
            stream_.reset();
            forget_vanished();
            return true;
        }
        struct stat status;
        if (!is_dot(*entry) && !disk_.examine(folder_, entry->d_name, status)) see(entry->d_name, status);
    }
    return false;
}

void SpoolShelf::see(const std::string& name, const struct stat& status) {
    const auto state = state_of(status);
    const auto known = files_.find(name);
    if (known != files_.end() && (!known->second.state || is_same(*known->second.state, state))) {
        bytes_ += static_cast<std::uint64_t>(status.st_size) - known->second.bytes;
        known->second.bytes = static_cast<std::uint64_t>(status.st_size);
        known->second.state = state;
        known->second.look = looks_;
        return;
    }
    insert(name, static_cast<std::uint64_t>(status.st_size), state, look_begin_);
}

void SpoolShelf::forget_vanished() {
    for (auto file = files_.begin(); file != files_.end();) {
        file = file->second.look == looks_ ? std::next(file) : erase(file);
    }
}

void SpoolShelf::trim(const ShelfLimits& limits, std::size_t most, Time now) {
    for (std::size_t i = 0; i < most && !ages_.empty(); ++i) {
        const bool too_old = now - ages_.begin()->since >= limits.keep;
        const bool too_many = files_.size() > limits.files;
        const bool too_large = bytes_ > limits.bytes && files_.size() > 1;
        if (!too_old && !too_many && !too_large) return;
        remove_oldest(now);
    }
}

/// Removes the file, unless it has changed since it was seen. One that cannot be removed is found again by a look.
void SpoolShelf::remove_oldest(Time now) {
    const auto file = files_.find(ages_.begin()->name);
    const auto name = file->first;
    const auto state = file->second.state;
    erase(file);
    struct stat status;
    if (disk_.examine(folder_, name, status)) return;
    if (state && !is_same(*state, state_of(status))) {
        insert(name, static_cast<std::uint64_t>(status.st_size), state_of(status), now);
        return;
    }
    if (S_ISDIR(status.st_mode)) {
        ::unlinkat(folder_.get(), name.c_str(), AT_REMOVEDIR);
    } else {
        static_cast<void>(disk_.remove(folder_, name));
    }
}

}  // namespace wsserver
