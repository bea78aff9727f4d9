#include "simulate/server.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>
#include <stdexcept>
#include <utility>

namespace wsserver::simulate {

/// The handler of both subprotocols. Most messages are echoed; some make it do something else.
struct SimulatedServer::Program {
    SimulatedServer& server;

    void on_open(AnyConnection& connection) {
        server.ledger_.watch([&] { server.ledger_.opened(connection.id()); });
        server.ledger_.connections[connection.id()].opened_at = server.now();
    }
    void on_close(AnyConnection& connection, const Close&) {
        if (server.sabotage_ == Sabotage::forget_close && server.random_.one_in(10)) return;
        server.ledger_.watch([&] { server.ledger_.closed(connection.id()); });
    }
    void on_message(AnyConnection& connection, const Text& message) { react(connection, message, message.text); }
    void on_message(AnyConnection& connection, const Binary& message) {
        react(connection, message, text_of(message.bytes));
    }

    void react(AnyConnection& connection, const auto& message, std::string_view text) {
        Mark mark;
        server.ledger_.watch([&] {
            mark = read_mark(text);
            server.ledger_.message(connection.id(), mark.number);
            server.check_rates(connection.id(), mark.number);
        });
        if (mark.source.starts_with("publish")) return (void)connection.publish(message);
        if (server.random_.one_in(300)) throw std::runtime_error{"a reaction throws"};
        if (server.random_.one_in(200)) return (void)connection.close(CloseCode::normal, "enough");
        if (server.random_.one_in(50)) server.broadcast({.except = connection.id()});
        if (server.sabotage_ == Sabotage::repeat_reply && server.random_.one_in(20)) (void)connection.send(message);
        const bool lost = server.sabotage_ == Sabotage::lose_reply && server.random_.one_in(20);
        if (!lost && connection.send(message) != SendStatus::queued) return;
        server.ledger_.connections[connection.id()].replies.push_back(mark.number);
    }
};

namespace {

/// The name of the handler, and the handler itself, which is pooled or not.
template <class P, bool pooled>
struct Runs_on : P {
    static constexpr Runs runs = pooled ? Runs::pooled : Runs::inline_;
};

}  // namespace

SimulatedServer::SimulatedServer(MemoryNetwork& network, const Endpoint& place, const ReactorOptions& options,
                                 std::size_t reactors, Ledger& ledger, Random& random, Sabotage sabotage)
    : ledger_(ledger),
      random_(random),
      sabotage_(sabotage),
      rates_(options.connection.receive_rates),
      count_(reactors),
      hub_(std::make_shared<ServerHub>(options.fragment_size)),
      any_hub_(hub_),
      inline_(make_handler("inline", Runs_on<Program, false>{{*this}})),
      pooled_(make_handler("pooled", Runs_on<Program, true>{{*this}})),
      held_(1 + random.below(3)),
      reactors_(*this, *hub_, options, network, place, reactors) {
    for (std::size_t i = 0; i < reactors; ++i) {
        reactors_[i].detach();  // until run(), the calling thread is another one
        ready_.push_back(std::make_unique<ReadyMailboxes>(
            queue_, reactors_[i].memory(), [this, i] { reactors_[i].post([this, i] { ready_[i]->push(); }); }));
    }
}

SimulatedServer::~SimulatedServer() { finish(); }

OfferDecision SimulatedServer::choose(OwnedConnection& connection, const Offer& offer) {
    const std::string_view target = offer.request.target;
    std::size_t client = 0;
    std::from_chars(target.data() + 1, target.data() + target.size(), client);
    const std::string_view subprotocol = offer.subprotocols.front() == "pooled" ? "pooled" : "inline";
    ids_[client] = connection.id();
    ConnectionRecord& record = ledger_.connections[connection.id()];
    record.client = client;
    record.pooled = subprotocol == "pooled";
    if (!record.pooled) return Acceptance{inline_, subprotocol};
    Acceptance acceptance{pooled_, subprotocol};
    acceptance.handler = make_pooled(acceptance, connection, target, hub_, *ready_[connection.id().reactor]);
    return acceptance;
}

std::optional<ConnectionId> SimulatedServer::id_of(std::size_t client) const {
    const auto found = ids_.find(client);
    return found == ids_.end() ? std::nullopt : std::optional{found->second};
}

std::size_t SimulatedServer::run(std::size_t reactor, std::size_t turns) {
    auto& one = reactors_[reactor];
    one.attach();
    running_ = reactor;
    const std::size_t count = one.transport().run_turns(turns);
    running_.reset();
    one.detach();
    return count;
}

bool SimulatedServer::work() {
    TaskPtr& task = held_[random_.below(held_.size())];
    if (!task) {
        task = queue_.try_pop();
        return task != nullptr;
    }
    if (TaskPtr again = test::run(std::exchange(task, nullptr), worker_)) queue_.push(std::move(again));
    return true;
}

void SimulatedServer::run_until_idle() {
    constexpr std::size_t enough = 2'000'000;
    std::size_t turns = 0;
    for (bool some = true; some;) {
        some = false;
        for (std::size_t i = 0; i < count_; ++i) {
            const std::size_t count = run(i, enough);
            turns += count;
            some = some || count > 0;
        }
        for (std::size_t i = 0; i < 4 * held_.size(); ++i) some = work() || some;
        for (const TaskPtr& task : held_) some = some || task != nullptr;
        if (turns > enough) throw Violation{"the reactors never become idle"};
    }
    if (!worker_.exceptions.empty()) throw Violation{"task " + worker_.failed_tasks.front() + " has thrown"};
}

void SimulatedServer::stop(Clock::time_point deadline) {
    for (std::size_t i = 0; i < count_; ++i) {
        reactors_[i].post([this, i, deadline] { reactors_[i].stop(deadline); });
    }
}

void SimulatedServer::finish() {
    if (std::exchange(finished_, true)) return;
    hub_->detach();
    for (std::size_t i = 0; i < count_; ++i) {
        reactors_[i].attach();
        reactors_[i].stop_listening();
        reactors_[i].end();
        ready_[i]->push();
        while (reactors_[i].transport().run_turns(std::numeric_limits<std::size_t>::max()) > 0) {  // releases streams
        }
        reactors_[i].detach();
    }
    for (TaskPtr& task : held_) {
        if (task) queue_.push(std::move(task));
    }
    while (TaskPtr task = queue_.try_pop()) {
        if (TaskPtr again = test::run(std::move(task), worker_)) queue_.push(std::move(again));
    }
    add_counts();
}

void SimulatedServer::add_counts() {
    Counts& sum = ledger_.counts;
    for (std::size_t i = 0; i < count_; ++i) {
        const ConnectionCounters& counters = reactors_[i].counters();
        ledger_.dropped += counters.messages_dropped.read() + reactors_[i].dropped_items();
        sum.opened += counters.opened.read();
        sum.messages_in += counters.messages_in.read();
        sum.slow_consumers += counters.slow_consumers.read();
        sum.message_timeouts += counters.message_timeouts.read();
        sum.pong_timeouts += counters.pong_timeouts.read();
        sum.handler_exceptions += counters.handler_exceptions.read();
        sum.closed_for_memory += counters.closed_for_memory.read();
        sum.refused_for_memory += counters.refused_for_memory.read();
        sum.memory_pauses += counters.memory_pauses.read();
        sum.rate_pauses += counters.rate_pauses.read();
        sum.publish_pauses += counters.publish_pauses.read();
    }
}

// --- Limits ---

MemoryUse SimulatedServer::memory_use() const noexcept {
    if (sabotage_ == Sabotage::ignore_memory) return {};
    MemoryUse use{.total = memory(), .broadcasts = waiting_broadcasts()->load()};
    for (std::size_t i = 0; i < count_; ++i) {
        use.largest = std::max(use.largest, reactors_[i].largest_holder());
        use.shared += reactors_[i].shared_memory();
    }
    return use;
}

std::size_t SimulatedServer::memory() const noexcept {
    std::size_t sum = waiting_broadcasts()->load();
    for (std::size_t i = 0; i < count_; ++i) sum += reactors_[i].memory().read() + reactors_[i].inbox_bytes();
    return sabotage_ == Sabotage::leak_memory ? sum : sum - worker_.freed_bytes();
}

void SimulatedServer::on_memory_short() {
    for (std::size_t i = 0; i < count_; ++i) reactors_[i].look_at_memory_soon();
}

/// A peer may send as much at once as in a second. Only what an inline handler receives was received just now.
void SimulatedServer::check_rates(ConnectionId id, std::uint64_t messages) {
    const ConnectionRecord& record = ledger_.connections[id];
    if (!rates_.any() || record.pooled) return;
    const auto info = reactors_[id.reactor].info(id);
    if (!info || info->state != "open") return;  // a closing connection is read without limits
    using std::chrono::milliseconds;
    const auto time = std::chrono::duration_cast<milliseconds>(now() - record.opened_at) + std::chrono::seconds{1};
    const auto may_send = [&](std::uint64_t rate) { return rate * static_cast<std::uint64_t>(time.count()) / 1000; };
    if (rates_.messages != 0 && messages > may_send(rates_.messages) + 1) {
        throw Violation{"connection " + to_string(id) + " has sent " + std::to_string(messages) + " messages in " +
                        std::to_string(time.count()) + " ms"};
    }
    // One read may exceed the rate, and what is read next may wait.
    constexpr std::uint64_t reads = 2 * MemoryTransport::receive_buffer_size + 1024;
    if (rates_.bytes != 0 && info->bytes_in > may_send(rates_.bytes) + reads) {
        throw Violation{"connection " + to_string(id) + " has sent " + std::to_string(info->bytes_in) + " bytes in " +
                        std::to_string(time.count()) + " ms"};
    }
}

// --- Requests of other threads ---

void SimulatedServer::send(ConnectionId to) {
    const std::uint64_t number = ++ledger_.sends;
    const std::string text = make_text("send", number, random_.size(2000));
    if (hub_->send(to, Text{text}) == SendStatus::queued) ledger_.connections[to].sends.push_back(number);
}

void SimulatedServer::broadcast(const Audience& audience) {
    const std::uint64_t number = ledger_.casts.size() + 1;
    ledger_.casts[number];
    // The messages of one thread stay in order.
    const std::string source = running_ ? "cast" + std::to_string(*running_) : "cast";
    const std::string text = make_text(source, number, random_.size(2000));
    const bool lost = sabotage_ == Sabotage::lose_count && random_.one_in(20);
    hub_->broadcast(audience, Text{text}, [&ledger = ledger_, number, lost](std::size_t receivers) {
        if (!lost) ledger.reported(number, receivers);
    });
}

}  // namespace wsserver::simulate
