// What starts a program needs besides its words: which descriptors and signals it gets.
#pragma once

#include <signal.h>
#include <spawn.h>

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

}  // namespace wsserver::detail
