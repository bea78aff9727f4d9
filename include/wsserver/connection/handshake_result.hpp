// The results of opening handshakes, shared by connections whose results are equal.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <array>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "wsserver/base/packed_strings.hpp"
#include "wsserver/connection/any_handler.hpp"
#include "wsserver/connection/kept_fields.hpp"
#include "wsserver/handshake/path_pattern.hpp"

namespace wsserver {

/// The handler, subprotocol, target, route and kept fields of a connection. It lives as long as a connection holds it,
/// and is used on the thread of its connections.
class HandshakeResult final : public boost::intrusive_ref_counter<HandshakeResult, boost::thread_unsafe_counter> {
   public:
    HandshakeResult(const HandshakeResult&) = delete;
    HandshakeResult& operator=(const HandshakeResult&) = delete;
    ~HandshakeResult() {
        if (known_ != nullptr) *known_ = nullptr;
    }

    /// The handler that serves the connections.
    const std::shared_ptr<AnyHandler>& handler() const noexcept { return handler_; }
    /// Empty: none.
    std::string_view subprotocol() const noexcept { return texts_[0]; }
    /// The path and query that the client requested.
    std::string_view target() const noexcept { return texts_[1]; }
    /// The header fields that the server keeps.
    const KeptFields& kept_fields() const noexcept { return kept_; }
    /// The pattern of the path that the handler serves. Null: the handler serves all paths.
    const std::shared_ptr<const PathPattern>& route() const noexcept { return route_; }

   private:
    friend class HandshakeResultCache;

    HandshakeResult(std::shared_ptr<AnyHandler> handler, std::string_view subprotocol, std::string_view target,
                    std::shared_ptr<const PathPattern> route, std::span<const HttpField> kept)
        : handler_(std::move(handler)), route_(std::move(route)), texts_{subprotocol, target}, kept_(kept) {}

    std::shared_ptr<AnyHandler> handler_;
    std::shared_ptr<const PathPattern> route_;  ///< shared by all connections of the path
    PackedStrings texts_;
    KeptFields kept_;
    HandshakeResult** known_ = nullptr;  ///< its entry in the HandshakeResultCache, if it has one
};

/// Keeps a result alive.
using HandshakeResultPtr = boost::intrusive_ptr<const HandshakeResult>;

/// The results of an owner's connections. Usually there are few, and the connections share them. If there are many, for
/// example because each client requests its own target, the cache has only the latest. The others work, but later
/// connections do not share them.
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

    /// Returns the shared result, or a new one.
    HandshakeResultPtr of(const std::shared_ptr<AnyHandler>& handler, std::string_view subprotocol,
                          std::string_view target, const std::shared_ptr<const PathPattern>& route = {},
                          std::span<const HttpField> kept = {}) {
        HandshakeResult*& known = known_[place_of(handler.get(), subprotocol, target)];
        if (known != nullptr && known->handler_ == handler && known->subprotocol() == subprotocol &&
            known->target() == target && known->route_ == route && known->kept_.are(kept)) {
            return known;
        }
        boost::intrusive_ptr<HandshakeResult> made(new HandshakeResult(handler, subprotocol, target, route, kept));
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
