// A file descriptor with one owner, which closes it.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <utility>

namespace wsserver {

/// Owns a file descriptor and closes it in the destructor. An empty Descriptor has the number -1.
class Descriptor {
   public:
    Descriptor() noexcept = default;
    /// Takes ownership of `number`; -1: none.
    explicit Descriptor(int number) noexcept : number_(number) {}
    /// Takes over the descriptor of `other`, which is empty then.
    Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
    /// Closes the current descriptor and takes over that of `other`, which is empty then.
    Descriptor& operator=(Descriptor&& other) noexcept {
        if (this != &other) reset(other.release());
        return *this;
    }
    ~Descriptor() { reset(); }

    /// The number for system calls, or -1. The Descriptor keeps ownership.
    int get() const noexcept { return number_; }
    /// Whether it owns a descriptor.
    explicit operator bool() const noexcept { return number_ >= 0; }

    /// Gives up ownership. The caller must close the descriptor that is returned.
    [[nodiscard]] int release() noexcept { return std::exchange(number_, -1); }
    /// Closes the current descriptor and takes ownership of `number`. Ignores an error of close(), as the descriptor
    /// is closed even then.
    void reset(int number = -1) noexcept;

   private:
    int number_ = -1;
};

}  // namespace wsserver
