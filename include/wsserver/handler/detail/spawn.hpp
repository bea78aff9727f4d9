// What it takes to start a program and to say how it ended.
#pragma once

#include <signal.h>
#include <spawn.h>

#include <cstring>
#include <string>
#include <vector>

namespace wsserver::detail {

/// File actions of posix_spawn(), freed at the end.
struct SpawnActions {
    SpawnActions() { ::posix_spawn_file_actions_init(&actions); }
    SpawnActions(const SpawnActions&) = delete;
    SpawnActions& operator=(const SpawnActions&) = delete;
    ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions); }
    posix_spawn_file_actions_t actions;
};

/// Attributes of posix_spawn(), freed at the end.
struct SpawnAttributes {
    /// The signals of the program are those that it would have in a shell, whatever this thread blocks. With
    /// `own_group`, a signal to the group reaches the program and its children.
    explicit SpawnAttributes(bool own_group = false) {
        ::posix_spawnattr_init(&attributes);
        sigset_t none, all;
        ::sigemptyset(&none);
        ::sigfillset(&all);
        ::posix_spawnattr_setsigmask(&attributes, &none);
        ::posix_spawnattr_setsigdefault(&attributes, &all);
        const int group = own_group ? POSIX_SPAWN_SETPGROUP : 0;
        ::posix_spawnattr_setpgroup(&attributes, 0);
        ::posix_spawnattr_setflags(&attributes,
                                   static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | group));
    }
    SpawnAttributes(const SpawnAttributes&) = delete;
    SpawnAttributes& operator=(const SpawnAttributes&) = delete;
    ~SpawnAttributes() { ::posix_spawnattr_destroy(&attributes); }
    posix_spawnattr_t attributes;
};

/// The words as exec() takes them. Valid as long as they are not changed.
inline std::vector<char*> pointers_to(std::vector<std::string>& words) {
    std::vector<char*> pointers;
    pointers.reserve(words.size() + 1);
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    return pointers;
}

/// `signal 11 (Segmentation fault)`
inline std::string text_of_signal(int number) {
    const char* const name = ::sigdescr_np(number);
    return "signal " + std::to_string(number) + (name != nullptr ? " (" + std::string{name} + ")" : std::string{});
}

}  // namespace wsserver::detail
