// A file descriptor that is closed with its owner.
#pragma once

#include <utility>

namespace wsserver {

/// Owns one descriptor of the operating system, or none (-1).
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

    /// Whoever gets it has to close it.
    [[nodiscard]] int release() noexcept { return std::exchange(number_, -1); }
    /// Closes what it had. The error of close() is of no use to anybody: the descriptor is gone either way.
    void reset(int number = -1) noexcept;

   private:
    int number_ = -1;
};

}  // namespace wsserver
