// Watches a spool for new files with inotify.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "wsserver/base/descriptor.hpp"

namespace wsserver {

class SpoolWatch {
   public:
    /// Watches `new_folder` for command files, and its parent `spool` for folders that are removed. False, with errno
    /// set, if inotify is not available; then read() never reports anything.
    bool start(const std::string& spool, const std::string& new_folder);

    /// The descriptor to poll for reading; -1: not watching.
    int descriptor() const noexcept { return inotify_.get(); }

    struct News {
        std::function<void(std::string_view name)> arrived;  ///< a file is in new/
        std::function<void()> lost;                          ///< events were lost: read the folder
        std::function<void()> replaced;                      ///< a folder may have been removed or replaced
    };
    /// Reads what events there are and reports them. Never blocks.
    void read(const News& news);

   private:
    Descriptor inotify_;
    int new_folder_watch_ = -1;  ///< the watch on `new_folder`
};

}  // namespace wsserver
