// A std::function for what a program wants to be told. It refuses callables whose result would be lost.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <functional>
#include <type_traits>
#include <utility>

namespace wsserver {

/// A function without a result, by its signature: Callback<void(int)>. Only the specialisation is defined.
template <class Signature>
class Callback;

/// A std::function<void(Args...)>. But a callable with a result is a compile error: the result would be lost, and a
/// coroutine would never run. UniqueFunction is the same for callables that cannot be copied.
template <class... Args>
class Callback<void(Args...)> : public std::function<void(Args...)> {
    using Base = std::function<void(Args...)>;

   public:
    Callback() noexcept = default;
    /// An empty function, as the default.
    Callback(std::nullptr_t) noexcept {}
    /// Stores a copy of `callable`, or moves it in. Throws what that throws, and std::bad_alloc.
    template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, Callback> && std::is_invocable_v<std::decay_t<F>&, Args...>)
        Callback(F&& callable)
        : Base(std::forward<F>(callable)) {
        static_assert(std::is_void_v<std::invoke_result_t<std::decay_t<F>&, Args...>>,
                      "want: a function that returns void; a result would be lost, and a coroutine would never run");
    }
};

}  // namespace wsserver
