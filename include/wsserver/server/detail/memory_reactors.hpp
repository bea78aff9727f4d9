// Reactors on a network in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "wsserver/server/detail/reactor.hpp"
#include "wsserver/server/detail/server_hub.hpp"
#include "wsserver/transport/memory.hpp"

namespace wsserver {

/// Reactors that listen at one endpoint of a network. All run on the thread that creates them. `hub` reaches their
/// connections until they are destroyed.
class MemoryReactors {
   public:
    MemoryReactors(ReactorShared& shared, ServerHub& hub, const ReactorOptions& options, MemoryNetwork& network,
                   const Endpoint& endpoint, std::size_t count = 1)
        : hub_(hub) {
        auto listeners = network.open_listeners(endpoint, count);
        std::vector<AnyReactor*> all;
        for (MemoryListener& listener : listeners) {
            auto& reactor = *reactors_.emplace_back(std::make_unique<Reactor<MemoryTransport>>(
                static_cast<std::uint16_t>(reactors_.size()), shared, options, network));
            reactor.attach();
            reactor.listen(std::move(listener));
            all.push_back(&reactor);
        }
        hub_.attach(std::move(all));
    }
    ~MemoryReactors() { hub_.detach(); }
    MemoryReactors(const MemoryReactors&) = delete;
    MemoryReactors& operator=(const MemoryReactors&) = delete;

    Reactor<MemoryTransport>& operator[](std::size_t number) const noexcept { return *reactors_[number]; }

   private:
    ServerHub& hub_;
    std::vector<std::unique_ptr<Reactor<MemoryTransport>>> reactors_;
};

}  // namespace wsserver
