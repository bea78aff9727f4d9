// A call to be made later, by whoever holds it: std::function for callables that can only be moved.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace wsserver {

template <class Signature>
class UniqueFunction;

/// Shaped like std::move_only_function (C++23), to become it one day. Callables of up to 48 bytes that can be
/// moved without throwing lie within it; larger ones cost one allocation.
template <class R, class... Args>
class UniqueFunction<R(Args...)> {
   public:
    UniqueFunction() noexcept = default;
    UniqueFunction(std::nullptr_t) noexcept {}

    template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, UniqueFunction> &&
             std::is_invocable_r_v<R, std::decay_t<F>&, Args...>) UniqueFunction(F&& callable) {
        using Callable = std::decay_t<F>;
        if constexpr (lies_within<Callable>) {
            ::new (static_cast<void*>(place_)) Callable(std::forward<F>(callable));
            table_ = &table_within<Callable>;
        } else {
            ::new (static_cast<void*>(place_)) Callable*(new Callable(std::forward<F>(callable)));
            table_ = &table_outside<Callable>;
        }
    }

    UniqueFunction(UniqueFunction&& other) noexcept { take(other); }
    UniqueFunction& operator=(UniqueFunction&& other) noexcept {
        if (this != &other) {
            reset();
            take(other);
        }
        return *this;
    }
    ~UniqueFunction() { reset(); }

    explicit operator bool() const noexcept { return table_ != nullptr; }

    /// Precondition: it holds a callable.
    R operator()(Args... args) { return table_->call(place_, std::forward<Args>(args)...); }

   private:
    static constexpr std::size_t capacity = 48;

    struct Table {
        R (*call)(void* place, Args&&... args);
        void (*move)(void* from, void* to) noexcept;  // and destroys what is left in `from`
        void (*destroy)(void* place) noexcept;
    };

    template <class Callable>
    static constexpr bool lies_within =
        sizeof(Callable) <= capacity &&
        alignof(Callable) <= alignof(void*) && std::is_nothrow_move_constructible_v<Callable>;

    template <class Callable>
    static R call(Callable& callable, Args&&... args) {
        if constexpr (std::is_void_v<R>) {
            static_cast<void>(callable(std::forward<Args>(args)...));  // a result that nobody wants
        } else {
            return callable(std::forward<Args>(args)...);
        }
    }

    template <class Callable>
    static constexpr Table table_within{
        [](void* place, Args&&... args) -> R {
            return call<Callable>(*std::launder(static_cast<Callable*>(place)), std::forward<Args>(args)...);
        },
        [](void* from, void* to) noexcept {
            auto* callable = std::launder(static_cast<Callable*>(from));
            ::new (to) Callable(std::move(*callable));
            callable->~Callable();
        },
        [](void* place) noexcept { std::launder(static_cast<Callable*>(place))->~Callable(); }};

    template <class Callable>
    static constexpr Table table_outside{
        [](void* place, Args&&... args) -> R {
            return call<Callable>(**std::launder(static_cast<Callable**>(place)), std::forward<Args>(args)...);
        },
        [](void* from, void* to) noexcept { ::new (to) Callable*(*std::launder(static_cast<Callable**>(from))); },
        [](void* place) noexcept { delete *std::launder(static_cast<Callable**>(place)); }};

    void take(UniqueFunction& other) noexcept {
        if (!other.table_) return;
        other.table_->move(other.place_, place_);
        table_ = std::exchange(other.table_, nullptr);
    }

    void reset() noexcept {
        if (table_) std::exchange(table_, nullptr)->destroy(place_);
    }

    const Table* table_ = nullptr;
    alignas(void*) std::byte place_[capacity];
};

}  // namespace wsserver
