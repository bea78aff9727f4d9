// How much memory the objects of one thread hold. Each object counts its own.
#pragma once

#include <atomic>
#include <cstddef>
#include <limits>
#include <utility>

#include "wsserver/base/unique_function.hpp"

namespace wsserver {

/// A sum in bytes. One thread changes it, without a locked instruction; any thread reads it.
class MemoryAccount {
   public:
    MemoryAccount() = default;
    MemoryAccount(const MemoryAccount&) = delete;
    MemoryAccount& operator=(const MemoryAccount&) = delete;

    /// Adds `bytes`. If the sum is now at least that of watch(), calls the function of on_growth().
    void add(std::size_t bytes) noexcept {
        const std::size_t sum = read() + bytes;
        held_.store(sum, std::memory_order_relaxed);
        if (sum >= watched_) report_growth();
    }
    /// Subtracts `bytes`.
    void subtract(std::size_t bytes) noexcept { held_.store(read() - bytes, std::memory_order_relaxed); }
    /// The sum. Any thread.
    std::size_t read() const noexcept { return held_.load(std::memory_order_relaxed); }

    /// Sets the function that add() calls once after each watch(). It may be called within any function that allocates,
    /// so it must not use the objects that count. If it throws, it is called again by the next add().
    void on_growth(UniqueFunction<void()> report) { report_ = std::move(report); }
    /// Reports when the sum is `sum` bytes or more.
    void watch(std::size_t sum) noexcept { watched_ = sum; }

   private:
    void report_growth() noexcept {
        if (!report_) return;
        const std::size_t sum = std::exchange(watched_, std::numeric_limits<std::size_t>::max());
        try {
            report_();
        } catch (...) {
            watched_ = sum;
        }
    }

    std::atomic<std::size_t> held_{0};
    std::size_t watched_ = std::numeric_limits<std::size_t>::max();
    UniqueFunction<void()> report_;
};

/// The part of an account that one object holds. It is subtracted when the object is destroyed.
class MemoryCharge {
   public:
    /// `account` must outlive the object; null: counts nothing.
    explicit MemoryCharge(MemoryAccount* account = nullptr) noexcept : account_(account) {}
    MemoryCharge(const MemoryCharge&) = delete;
    MemoryCharge& operator=(const MemoryCharge&) = delete;
    ~MemoryCharge() { set(0); }

    /// The object holds `bytes` now.
    void set(std::size_t bytes) noexcept {
        const std::size_t before = std::exchange(bytes_, bytes);
        if (account_ == nullptr || bytes == before) return;
        bytes > before ? account_->add(bytes - before) : account_->subtract(before - bytes);
    }

    /// What the object holds.
    std::size_t bytes() const noexcept { return bytes_; }

   private:
    MemoryAccount* const account_;
    std::size_t bytes_ = 0;
};

}  // namespace wsserver
