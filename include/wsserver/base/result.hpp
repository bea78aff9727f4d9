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
    /// Stores `error`.
    constexpr explicit Unexpected(E error) : error_(std::move(error)) {}
    /// The error. Valid as long as this object.
    constexpr const E& error() const& noexcept { return error_; }
    /// The error, to be moved out.
    constexpr E&& error() && noexcept { return std::move(error_); }

   private:
    E error_;
};

/// A value of type T or an error of type E.
template <class T, class E>
class [[nodiscard]] Result {
   public:
    using value_type = T;  ///< as in std::expected
    using error_type = E;  ///< as in std::expected

    /// Success. Implicit, so that a function can return the value itself.
    constexpr Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    /// Failure. Implicit, so that a function can return Unexpected{error}.
    constexpr Result(Unexpected<E> unexpected) : state_(std::in_place_index<1>, std::move(unexpected).error()) {}

    /// Whether it contains a value, not an error.
    constexpr bool has_value() const noexcept { return state_.index() == 0; }
    /// Same as has_value().
    constexpr explicit operator bool() const noexcept { return has_value(); }

    /// The value. Precondition: has_value().
    constexpr T& operator*() & noexcept { return *get(); }
    /// The value, read-only. Precondition: has_value().
    constexpr const T& operator*() const& noexcept { return *get(); }
    /// Moves the value out. Precondition: has_value().
    constexpr T&& operator*() && noexcept { return std::move(*get()); }
    /// A member of the value. Precondition: has_value().
    constexpr T* operator->() noexcept { return get(); }
    /// A member of the value, read-only. Precondition: has_value().
    constexpr const T* operator->() const noexcept { return get(); }

    /// The error. Precondition: !has_value().
    constexpr const E& error() const noexcept {
        assert(!has_value());
        return *std::get_if<1>(&state_);
    }

    /// A copy of the value, or `otherwise` converted to T if there is an error.
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
    using value_type = void;  ///< as in std::expected
    using error_type = E;     ///< as in std::expected

    constexpr Result() = default;
    /// Failure. Implicit, so that a function can return Unexpected{error}. A default Result is success.
    constexpr Result(Unexpected<E> unexpected) : state_(std::in_place_index<1>, std::move(unexpected).error()) {}

    /// Whether it is success, not an error.
    constexpr bool has_value() const noexcept { return state_.index() == 0; }
    /// Same as has_value().
    constexpr explicit operator bool() const noexcept { return has_value(); }

    /// The error. Precondition: !has_value().
    constexpr const E& error() const noexcept {
        assert(!has_value());
        return *std::get_if<1>(&state_);
    }

   private:
    std::variant<std::monostate, E> state_;
};

}  // namespace wsserver
