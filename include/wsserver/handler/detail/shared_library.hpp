// A shared object in memory, apart from the file that it came from.
#pragma once

#include <string>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/result.hpp"

namespace wsserver {

/// A private copy of a shared object, opened; closed with its owner. Overwriting or cutting short the file, which
/// kills a process that has it mapped (SIGBUS), does nothing to it, and the same path can be opened again for its new
/// content.
class SharedLibrary {
   public:
    /// The error is what is wrong and what to do, without the path.
    static Result<SharedLibrary, std::string> open(const std::string& path);

    SharedLibrary(SharedLibrary&& other) noexcept;
    SharedLibrary& operator=(SharedLibrary&&) = delete;
    ~SharedLibrary();

    /// Null if it exports none of that name. Valid as long as this is.
    void* find(const char* symbol) const noexcept;

   private:
    SharedLibrary(Descriptor copy, void* handle) noexcept : copy_(std::move(copy)), handle_(handle) {}

    // Kept open: dlopen() knows what it has by its name, which is the descriptor's number.
    Descriptor copy_;
    void* handle_;
};

}  // namespace wsserver
