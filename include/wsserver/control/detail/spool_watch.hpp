// Tells what has come into a spool, by inotify where the kernel gives one.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "wsserver/base/descriptor.hpp"

namespace wsserver {

class SpoolWatch {
   public:
    /// Watches `new_folder` for commands, and `spool`, in which it lies, for folders that go. False, with errno set, if
    /// there is no inotify to be had; then nothing is ever told.
    bool start(const std::string& spool, const std::string& new_folder);

    /// To be polled for reading; -1: not watching.
    int descriptor() const noexcept { return inotify_.get(); }

    struct News {
        std::function<void(std::string_view name)> came;
        std::function<void()> lost;      ///< events were lost: look for yourself
        std::function<void()> replaced;  ///< perhaps a folder is not there any more, or is another one
    };
    void read(const News& news);

   private:
    Descriptor inotify_;
    int new_folder_watch_ = -1;  ///< the watch on `new_folder`
};

}  // namespace wsserver
