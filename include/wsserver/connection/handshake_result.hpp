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
class HandshakeResult final : public boost::intrusive_ref_counter<HandshakeResult, boost::thread_unsafe_counter> {
   public:
    HandshakeResult(const HandshakeResult&) = delete;
    HandshakeResult& operator=(const HandshakeResult&) = delete;
    ~HandshakeResult() {
        if (known_ != nullptr) *known_ = nullptr;
    }

    const std::shared_ptr<AnyHandler>& handler() const noexcept { return handler_; }
    /// Empty: none.
    std::string_view subprotocol() const noexcept { return texts_[0]; }
    std::string_view target() const noexcept { return texts_[1]; }

   private:
    friend class HandshakeResultCache;

    HandshakeResult(std::shared_ptr<AnyHandler> handler, std::string_view subprotocol, std::string_view target)
        : handler_(std::move(handler)), texts_{subprotocol, target} {}

    std::shared_ptr<AnyHandler> handler_;
    PackedStrings texts_;
    HandshakeResult** known_ = nullptr;  ///< where it stands in HandshakeResultCache, if it does
};

using HandshakeResultPtr = boost::intrusive_ptr<const HandshakeResult>;

/// Those of an owner's connections: it mostly has few, and then its connections share them. Where there are many
/// (each client asks for a target of its own) only the last are known; the others are not shared and work as well.
class HandshakeResultCache {
   public:
    HandshakeResultCache() = default;
    HandshakeResultCache(const HandshakeResultCache&) = delete;
    HandshakeResultCache& operator=(const HandshakeResultCache&) = delete;
    ~HandshakeResultCache() {
        for (HandshakeResult* known : known_) {
            if (known != nullptr) known->known_ = nullptr;
        }
    }

    HandshakeResultPtr of(const std::shared_ptr<AnyHandler>& handler, std::string_view subprotocol,
                          std::string_view target) {
        HandshakeResult*& known = known_[place_of(handler.get(), subprotocol, target)];
        if (known != nullptr && known->handler_ == handler && known->subprotocol() == subprotocol &&
            known->target() == target) {
            return known;
        }
        boost::intrusive_ptr<HandshakeResult> made(new HandshakeResult(handler, subprotocol, target));
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

    std::array<HandshakeResult*, places> known_{};
};

}  // namespace wsserver
