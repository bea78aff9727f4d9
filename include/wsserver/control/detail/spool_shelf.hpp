// One folder of a spool whose files are removed after a time: done/, failed/ or tmp/.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "wsserver/control/detail/spool_disk.hpp"

namespace wsserver {

/// What may be in the folder.
struct ShelfLimits {
    std::chrono::milliseconds keep{};  ///< how long a file is kept, counted from when this process saw it first
    std::size_t files = SIZE_MAX;
    std::uint64_t bytes = UINT64_MAX;  ///< of all files; the newest one is kept even if it is larger
};

/// Ages are measured with a clock that is never set. A file's own time is that of a clock that may jump by years, so it
/// decides only which of the files that were found together is older.
class SpoolShelf {
   public:
    using Time = std::chrono::steady_clock::time_point;

    /// Both must outlive the shelf.
    SpoolShelf(const SpoolDisk& disk, const Descriptor& folder) : disk_(disk), folder_(folder) {}

    /// This process has put a file there.
    void add(const std::string& name, std::uint64_t bytes, Time now);
    /// Looks at no more than `most` files for those that it does not know, or that have changed. Returns true at the
    /// end of the folder.
    bool look(std::size_t most, Time now);
    /// Removes what is over the limits, the oldest first, and no more than `most` files.
    void trim(const ShelfLimits& limits, std::size_t most, Time now);

   private:
    /// What lstat() says about a file. It changes when the file is written or replaced.
    struct State {
        ino_t number = 0;
        off_t size = 0;
        std::timespec written{};
    };
    /// The order in which files are removed.
    struct Age {
        Time since{};             ///< when this process saw the file first, or saw it changed
        std::timespec written{};  ///< the file's own time, for files that were found in one look
        std::string name{};

        bool operator<(const Age& other) const;
    };
    struct Known {
        Age age{};
        std::uint64_t bytes = 0;
        std::optional<State> state{};
        std::uint64_t look = 0;  ///< the last one that found the file
    };
    using Files = std::map<std::string, Known, std::less<>>;

    static State state_of(const struct stat& status) { return {status.st_ino, status.st_size, status.st_mtim}; }
    static bool is_same(const State& a, const State& b);
    void see(const std::string& name, const struct stat& status);
    void insert(const std::string& name, std::uint64_t bytes, std::optional<State> state, Time since);
    Files::iterator erase(Files::iterator file);
    void forget_vanished();
    void remove_oldest(Time now);

    const SpoolDisk& disk_;
    const Descriptor& folder_;
    Files files_{};
    std::set<Age> ages_{};
    std::uint64_t bytes_ = 0;

    FolderStream stream_{};  ///< of the look that is going on
    Time look_begin_{};
    std::uint64_t looks_ = 0;
};

}  // namespace wsserver
