// A std::function that can be moved but not copied, so that it can hold callables that own something.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace wsserver {

/// A callable with one owner, by its signature: UniqueFunction<void(int)>. Only the specialisation is defined.
template <class Signature>
class UniqueFunction;

/// A callable with one owner. The interface is that of std::move_only_function (C++23), which can replace it later. But
/// if `R` is void, a callable with a result is a compile error: the result would be lost, and a coroutine would never
/// run. Callables of at most 48 bytes that can be moved without throwing are stored inside; others cost one allocation.
template <class R, class... Args>
class UniqueFunction<R(Args...)> {
   public:
    UniqueFunction() noexcept = default;
    /// An empty function, as the default.
    UniqueFunction(std::nullptr_t) noexcept {}

    /// Stores a copy of `callable`, or moves it in. It may be move-only. Throws what its constructor throws, and
    /// std::bad_alloc if it is not stored inside.
    template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, UniqueFunction> &&
             std::is_invocable_r_v<R, std::decay_t<F>&, Args...>) UniqueFunction(F&& callable) {
        using Callable = std::decay_t<F>;
        static_assert(!std::is_void_v<R> || std::is_void_v<std::invoke_result_t<Callable&, Args...>>,
                      "want: a function that returns void; a result would be lost, and a coroutine would never run");
        if constexpr (fits_inside<Callable>) {
            ::new (static_cast<void*>(storage_)) Callable(std::forward<F>(callable));
            table_ = &inline_table<Callable>;
        } else {
            ::new (static_cast<void*>(storage_)) Callable*(new Callable(std::forward<F>(callable)));
            table_ = &heap_table<Callable>;
        }
    }

    /// Takes over the callable of `other`, which is empty then.
    UniqueFunction(UniqueFunction&& other) noexcept { take(other); }
    /// Destroys the current callable and takes over that of `other`, which is empty then.
    UniqueFunction& operator=(UniqueFunction&& other) noexcept {
        if (this != &other) {
            reset();
            take(other);
        }
        return *this;
    }
    ~UniqueFunction() { reset(); }

    /// Whether it has a callable.
    explicit operator bool() const noexcept { return table_ != nullptr; }

    /// Calls the callable. Throws std::bad_function_call if it has none.
    R operator()(Args... args) {
        if (!table_) throw std::bad_function_call{};
        return table_->call(storage_, std::forward<Args>(args)...);
    }

   private:
    static constexpr std::size_t capacity = 48;

    struct Table {
        R (*call)(void* storage, Args&&... args);
        void (*move)(void* from, void* to) noexcept;  // and destroys the callable in `from`
        void (*destroy)(void* storage) noexcept;
    };

    template <class Callable>
    static constexpr bool fits_inside =
        sizeof(Callable) <= capacity &&
        alignof(Callable) <= alignof(void*) && std::is_nothrow_move_constructible_v<Callable>;

    template <class Callable>
    static constexpr Table inline_table{
        [](void* storage, Args&&... args) -> R {
            return (*std::launder(static_cast<Callable*>(storage)))(std::forward<Args>(args)...);
        },
        [](void* from, void* to) noexcept {
            auto* callable = std::launder(static_cast<Callable*>(from));
            ::new (to) Callable(std::move(*callable));
            callable->~Callable();
        },
        [](void* storage) noexcept { std::launder(static_cast<Callable*>(storage))->~Callable(); }};

    template <class Callable>
    static constexpr Table heap_table{
        [](void* storage, Args&&... args) -> R {
            return (**std::launder(static_cast<Callable**>(storage)))(std::forward<Args>(args)...);
        },
        [](void* from, void* to) noexcept { ::new (to) Callable*(*std::launder(static_cast<Callable**>(from))); },
        [](void* storage) noexcept { delete *std::launder(static_cast<Callable**>(storage)); }};

    void take(UniqueFunction& other) noexcept {
        if (!other.table_) return;
        other.table_->move(other.storage_, storage_);
        table_ = std::exchange(other.table_, nullptr);
    }

    void reset() noexcept {
        if (table_) std::exchange(table_, nullptr)->destroy(storage_);
    }

    const Table* table_ = nullptr;
    alignas(void*) std::byte storage_[capacity];
};

}  // namespace wsserver
