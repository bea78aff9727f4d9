// One daemon for each pid file: the daemon locks it. The process id in it is for people and scripts.
#pragma once

#include <string>
#include <utility>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/result.hpp"

namespace wsd {

/// Holds the lock while it exists. A file that a dead process left behind does no harm, since its lock is gone.
class PidFile {
   public:
    /// Locks the file and writes this process's id into it. Creates the file and its folder if needed. An error names
    /// the file and what is wrong: another daemon (with its process id), or missing permission. A full disk is not an
    /// error: see missing().
    static wsserver::Result<PidFile, std::string> take(const std::string& path);

    PidFile(PidFile&&) noexcept = default;
    PidFile& operator=(PidFile&&) = delete;
    /// Removes the file, if it is still the locked one.
    ~PidFile();

    /// What a full disk prevented, for the log: the file does not exist, so that nothing is locked, or it is locked and
    /// empty. An empty text if the file contains the process id.
    const std::string& missing() const noexcept { return missing_; }
    /// Tries again what is missing(), which may then have another reason: another daemon holds the file, or only root
    /// may create it. Returns whether nothing is missing now. Not for two threads at the same time.
    bool complete();

   private:
    explicit PidFile(std::string path) : path_(std::move(path)) {}
    void write_number();

    std::string path_;
    wsserver::Descriptor descriptor_{};  ///< empty: the file could not be created
    std::string missing_{};
};

}  // namespace wsd
