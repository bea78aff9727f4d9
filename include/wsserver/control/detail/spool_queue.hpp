// The names in new/, in order. Memory is bounded, however many files there are.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>

#include "wsserver/base/result.hpp"
#include "wsserver/control/detail/spool_disk.hpp"

namespace wsserver {

class SpoolQueue {
   public:
    /// Both must outlive the queue. `folder` is new/.
    SpoolQueue(const SpoolDisk& disk, const Descriptor& folder) : disk_(disk), folder_(folder) {}

    /// A file with that name has arrived.
    void notice(std::string_view name);
    /// Files may have arrived without a notice.
    void rescan() noexcept { scan_needed_ = true; }

    /// Takes the first name out, reading the folder if necessary. Nothing if there is no file. An error says why the
    /// folder cannot be read.
    Result<std::optional<std::string>, std::error_code> take();
    /// Puts a name back that take() returned.
    void put_back(std::string name) { names_.insert(std::move(name)); }
    /// The file stays in new/ because it cannot be moved: it is ignored while it has that inode number.
    void ignore(const std::string& name, ino_t number) { ignored_[name] = number; }

   private:
    std::error_code scan();
    bool is_still(const std::pair<const std::string, ino_t>& known) const;
    void shorten();

    const SpoolDisk& disk_;
    const Descriptor& folder_;
    std::set<std::string> names_{};  ///< the smallest known names
    bool scan_needed_ = true;        ///< the folder may have further names
    std::map<std::string, ino_t> ignored_{};
};

}  // namespace wsserver
