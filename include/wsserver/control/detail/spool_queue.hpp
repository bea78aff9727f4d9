// The names in new/, in order. Memory is bounded, however many files there are.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "wsserver/base/result.hpp"
#include "wsserver/control/detail/spool_disk.hpp"

namespace wsserver {

class SpoolQueue {
   public:
    /// Both must outlive the queue. `folder` is new/.
    SpoolQueue(const SpoolDisk& disk, const Descriptor& folder) : disk_(disk), folder_(folder) {}

    /// A complete file with that name has arrived.
    void notice(std::string_view name);
    /// Files may have arrived without a notice.
    void rescan();

    /// Takes the first name of a complete file out, reading the folder if necessary. Nothing if there is none. An error
    /// says why the folder or a file cannot be examined.
    Result<std::optional<std::string>, std::error_code> take();
    /// Puts a name back that take() returned.
    void put_back(std::string name) { names_.insert_or_assign(std::move(name), Found::noticed); }
    /// The file stays in new/ because it cannot be moved: it is ignored while it has that inode number. At most 4096
    /// are known; further folders are left alone until some of these are gone.
    void ignore(const std::string& name, ino_t number);

    /// Whether there are files that only further calls of rescan() find complete.
    bool has_unsettled() const noexcept { return !unsettled_.empty(); }

   private:
    enum class Found : std::uint8_t { noticed, scanned };

    /// A file of which only time tells whether it is complete.
    struct Unsettled {
        ino_t number = 0;
        off_t size = 0;
        std::timespec written{};
        std::uint64_t look = 0;  ///< the last one that found it
        int unchanged = 0;       ///< looks since the first one that found it like this
    };

    std::error_code scan();
    bool is_still(const std::pair<const std::string, ino_t>& known) const;
    void shorten();
    Result<bool, std::error_code> is_complete(const std::string& name);
    bool has_settled(const std::string& name, const struct stat& status);

    const SpoolDisk& disk_;
    const Descriptor& folder_;
    std::map<std::string, Found, std::less<>> names_{};  ///< the smallest known names
    bool scan_needed_ = true;                            ///< the folder may have further names
    std::uint64_t looks_ = 0;                            ///< calls of rescan()
    std::map<std::string, ino_t> ignored_{};
    std::set<std::string, std::less<>> incomplete_{};  ///< files that wait for the next look
    std::map<std::string, Unsettled> unsettled_{};
};

}  // namespace wsserver
