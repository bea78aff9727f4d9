// A file descriptor with one owner, which closes it.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <utility>

namespace wsserver {

/// Owns a file descriptor and closes it in the destructor. An empty Descriptor has the number -1.
class Descriptor {
   public:
    Descriptor() noexcept = default;
    explicit Descriptor(int number) noexcept : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        if (this != &other) reset(other.release());
        return *this;
    }
    ~Descriptor() { reset(); }

    int get() const noexcept { return number_; }
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
