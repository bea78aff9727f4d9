// A shared object in memory that is independent of its file.
#pragma once

#include <string>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/result.hpp"

namespace wsserver {

/// A private copy of a shared object. open() loads it and the destructor closes it. A process that maps the
/// file itself dies (SIGBUS) if the file is overwritten or truncated; the copy is not affected. Opening the same path
/// again loads its new content.
class SharedLibrary {
   public:
    /// An error says what is wrong and what to do, without the path.
    static Result<SharedLibrary, std::string> open(const std::string& path);

    SharedLibrary(SharedLibrary&& other) noexcept;
    SharedLibrary& operator=(SharedLibrary&&) = delete;
    ~SharedLibrary() { (void)close(); }

    /// Returns the address of an exported symbol; null if there is none. Valid as long as the SharedLibrary.
    void* find(const char* symbol) const noexcept;
    /// Unloads the code. Returns false if it stays in memory nevertheless.
    bool close() noexcept;
    /// Why it will stay; empty if no reason is known.
    const std::string& reason_to_stay() const noexcept { return reason_to_stay_; }

   private:
    SharedLibrary(Descriptor copy, void* handle, std::string reason_to_stay) noexcept
        : copy_(std::move(copy)), handle_(handle), reason_to_stay_(std::move(reason_to_stay)) {}

    // Kept open, because dlopen() identifies a loaded object by its name, which contains the descriptor's number.
    Descriptor copy_;
    void* handle_;
    std::string reason_to_stay_;
};

}  // namespace wsserver
