// One daemon for each pid file: it holds a lock on it, and the number in it is for people and scripts.
#pragma once

#include <string>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/result.hpp"

namespace wsd {

/// Holds the lock and the file as long as it lives. A file that a dead process left behind is no hindrance: its lock
/// died with it.
class PidFile {
   public:
    /// Writes this process's number into the file, which is made if need be, its folder too. An error names the
    /// file and what is wrong: another daemon (and its process), or no permission.
    static wsserver::Result<PidFile, std::string> take(const std::string& path);

    PidFile(PidFile&&) noexcept = default;
    PidFile& operator=(PidFile&&) = delete;
    /// Removes the file, if it is still the one that was taken.
    ~PidFile();

   private:
    PidFile(std::string path, wsserver::Descriptor descriptor);

    std::string path_;
    wsserver::Descriptor descriptor_;
};

}  // namespace wsd
