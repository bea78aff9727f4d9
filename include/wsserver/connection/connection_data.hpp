// A value of any type that a connection owns for its handler.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <memory>
#include <type_traits>
#include <utility>

namespace wsserver {

/// A value whose type is known to those who use it, for example what a program knows about a client. Made by of().
/// Classes are told apart by the addresses of objects of the compiler, so it works without RTTI, but not from one
/// shared object to another if these hide their symbols.
class ConnectionData {
   public:
    ConnectionData(const ConnectionData&) = delete;
    ConnectionData& operator=(const ConnectionData&) = delete;
    virtual ~ConnectionData() = default;

    /// Moves `value` in.
    template <class T>
    static std::unique_ptr<ConnectionData> of(T value) {
        return emplace<T>(std::move(value));
    }
    /// Constructs a `T` from `args`. It need not be movable.
    template <class T, class... Args>
    static std::unique_ptr<ConnectionData> emplace(Args&&... args) {
        return std::make_unique<Of<T>>(std::forward<Args>(args)...);
    }

    /// The value; null if it is not exactly a `T`.
    template <class T>
    T* get() noexcept {
        return type_ == &tag<T> ? &static_cast<Of<T>*>(this)->value : nullptr;
    }

    void* user_data = nullptr;  ///< AnyConnection::user_data() of a connection that owns a value

   private:
    template <class T>
    static constexpr char tag = 0;
    template <class T>
    struct Of;

    explicit ConnectionData(const void* type) noexcept : type_(type) {}

    const void* type_;
};

/// A value of the type `T`.
template <class T>
struct ConnectionData::Of final : ConnectionData {
    static_assert(std::is_same_v<T, std::remove_cvref_t<T>>, "the data of a connection is an object");

    template <class... Args>
    explicit Of(Args&&... args) : ConnectionData(&tag<T>), value(std::forward<Args>(args)...) {}

    T value;
};

}  // namespace wsserver
