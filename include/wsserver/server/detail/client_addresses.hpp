// The addresses of clients whose connections arrive through trusted proxies.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/base/result.hpp"
#include "wsserver/handshake/http.hpp"
#include "wsserver/handshake/proxies.hpp"

namespace wsserver {

/// Any thread may call the members.
class ClientAddresses {
   public:
    /// See ServerOptions::trusted_proxies and client_address_field.
    void set(const std::vector<std::string>& trusted_proxies, std::string field) {
        auto parsed = TrustedProxies::parse(trusted_proxies);
        const std::unique_lock lock(mutex_);
        proxies_ = std::move(parsed);
        field_ = std::move(field);
        any_ = proxies_ && !proxies_->empty();
    }

    /// What is wrong with the list, which trusts no one then; empty: nothing.
    std::string fault() const {
        const std::shared_lock lock(mutex_);
        return proxies_ ? std::string{} : proxies_.error() + "; no proxy is trusted";
    }
    /// Whether the peer is a trusted proxy.
    bool trusts(std::string_view peer) const {
        const std::shared_lock lock(mutex_);
        return proxies_ && proxies_->trusts(peer);
    }
    /// See client_address().
    std::optional<std::string> client_of(std::string_view peer, const HttpRequest& request) const {
        if (!any_.load(std::memory_order_relaxed)) return std::nullopt;
        const std::shared_lock lock(mutex_);
        return proxies_ ? client_address(peer, request, *proxies_, field_) : std::nullopt;
    }

   private:
    mutable std::shared_mutex mutex_;
    Result<TrustedProxies, std::string> proxies_{TrustedProxies{}};
    std::string field_;
    std::atomic<bool> any_{false};  ///< so that nothing is locked without proxies
};

}  // namespace wsserver
