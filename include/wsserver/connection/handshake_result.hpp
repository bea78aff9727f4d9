// What a client and its server agreed on in the opening handshake, once for all connections that agreed on the same.
#pragma once

#include <array>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "wsserver/base/packed_strings.hpp"
#include "wsserver/connection/any_handler.hpp"

namespace wsserver {

/// Lives as long as a connection holds it, and belongs to the thread of these.
class Agreement final : public boost::intrusive_ref_counter<Agreement, boost::thread_unsafe_counter> {
   public:
    Agreement(const Agreement&) = delete;
    Agreement& operator=(const Agreement&) = delete;
    ~Agreement() {
        if (known_ != nullptr) *known_ = nullptr;
    }

    const std::shared_ptr<AnyHandler>& handler() const noexcept { return handler_; }
    /// Empty: none.
    std::string_view subprotocol() const noexcept { return texts_[0]; }
    std::string_view target() const noexcept { return texts_[1]; }

   private:
    friend class Agreements;

    Agreement(std::shared_ptr<AnyHandler> handler, std::string_view subprotocol, std::string_view target)
        : handler_(std::move(handler)), texts_{subprotocol, target} {}

    std::shared_ptr<AnyHandler> handler_;
    PackedTexts texts_;
    Agreement** known_ = nullptr;  ///< where it stands in Agreements, if it does
};

using AgreementPtr = boost::intrusive_ptr<const Agreement>;

/// Those of a host's connections: it mostly has few, and then its connections share them. Where there are many
/// (each client asks for a target of its own) only the last are known; the others are not shared and work as well.
class Agreements {
   public:
    Agreements() = default;
    Agreements(const Agreements&) = delete;
    Agreements& operator=(const Agreements&) = delete;
    ~Agreements() {
        for (Agreement* known : known_) {
            if (known != nullptr) known->known_ = nullptr;
        }
    }

    AgreementPtr of(const std::shared_ptr<AnyHandler>& handler, std::string_view subprotocol, std::string_view target) {
        Agreement*& known = known_[place_of(handler.get(), subprotocol, target)];
        if (known != nullptr && known->handler_ == handler && known->subprotocol() == subprotocol &&
            known->target() == target) {
            return known;
        }
        boost::intrusive_ptr<Agreement> made(new Agreement(handler, subprotocol, target));
        if (known != nullptr) known->known_ = nullptr;
        known = made.get();
        made->known_ = &known;
        return made;
    }

   private:
    static constexpr std::size_t places = 64;

    static std::size_t place_of(const AnyHandler* handler, std::string_view subprotocol,
                                std::string_view target) noexcept {
        constexpr std::hash<std::string_view> hash;
        return (hash(target) ^ hash(subprotocol) * 3 ^ std::hash<const AnyHandler*>{}(handler) / 16) % places;
    }

    std::array<Agreement*, places> known_{};
};

}  // namespace wsserver
