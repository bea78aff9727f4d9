// A value or an error. The interface is that of std::expected (C++23), which can replace it later.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cassert>
#include <utility>
#include <variant>

namespace wsserver {

/// An error, from which any Result with that error type is made.
template <class E>
class Unexpected {
   public:
    constexpr explicit Unexpected(E error) : error_(std::move(error)) {}
    constexpr const E& error() const& noexcept { return error_; }
    constexpr E&& error() && noexcept { return std::move(error_); }

   private:
    E error_;
};

/// A value of type T or an error of type E.
template <class T, class E>
class [[nodiscard]] Result {
   public:
    using value_type = T;
    using error_type = E;

    constexpr Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    constexpr Result(Unexpected<E> unexpected) : state_(std::in_place_index<1>, std::move(unexpected).error()) {}

    constexpr bool has_value() const noexcept { return state_.index() == 0; }
    constexpr explicit operator bool() const noexcept { return has_value(); }

    /// Precondition: has_value().
    constexpr T& operator*() & noexcept { return *get(); }
    constexpr const T& operator*() const& noexcept { return *get(); }
    constexpr T&& operator*() && noexcept { return std::move(*get()); }
    constexpr T* operator->() noexcept { return get(); }
    constexpr const T* operator->() const noexcept { return get(); }

    /// Precondition: !has_value().
    constexpr const E& error() const noexcept {
        assert(!has_value());
        return *std::get_if<1>(&state_);
    }

    template <class U>
    constexpr T value_or(U&& otherwise) const& {
        return has_value() ? **this : static_cast<T>(std::forward<U>(otherwise));
    }

   private:
    constexpr T* get() noexcept {
        assert(has_value());
        return std::get_if<0>(&state_);
    }
    constexpr const T* get() const noexcept {
        assert(has_value());
        return std::get_if<0>(&state_);
    }

    std::variant<T, E> state_;
};

/// Success, or an error of type E.
template <class E>
class [[nodiscard]] Result<void, E> {
   public:
    using value_type = void;
    using error_type = E;

    constexpr Result() = default;
    constexpr Result(Unexpected<E> unexpected) : state_(std::in_place_index<1>, std::move(unexpected).error()) {}

    constexpr bool has_value() const noexcept { return state_.index() == 0; }
    constexpr explicit operator bool() const noexcept { return has_value(); }

    /// Precondition: !has_value().
    constexpr const E& error() const noexcept {
        assert(!has_value());
        return *std::get_if<1>(&state_);
    }

   private:
    std::variant<std::monostate, E> state_;
};

}  // namespace wsserver
