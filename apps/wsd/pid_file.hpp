// One daemon for each pid file: the daemon locks it. The process id in it is for people and scripts.
#pragma once

#include <string>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/result.hpp"

namespace wsd {

/// Holds the lock while it exists. A file that a dead process left behind does no harm, since its lock is gone.
class PidFile {
   public:
    /// Locks the file and writes this process's id into it. Creates the file and its folder if needed. An error names
    /// the file and what is wrong: another daemon (with its process id), or missing permission. A number that cannot be
    /// written, because the disk is full, is not an error: see unwritten().
    static wsserver::Result<PidFile, std::string> take(const std::string& path);

    PidFile(PidFile&&) noexcept = default;
    PidFile& operator=(PidFile&&) = delete;
    /// Removes the file, if it is still the locked one.
    ~PidFile();

    /// Why the file is locked and empty; an empty text if it contains the process id. For the log.
    const std::string& unwritten() const noexcept { return unwritten_; }

   private:
    PidFile(std::string path, wsserver::Descriptor descriptor, std::string unwritten);

    std::string path_;
    wsserver::Descriptor descriptor_;
    std::string unwritten_;
};

}  // namespace wsd
