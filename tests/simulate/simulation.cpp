#include "simulate/simulation.hpp"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <utility>

namespace wsserver::simulate {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

/// Limits that keep one client from harming the others. Each is set in some simulations.
void add_limits(ReactorOptions& options, Random& random) {
    const std::size_t memory[] = {512 << 10, 1 << 20, 4 << 20};
    const std::size_t messages[] = {5, 50, 500};
    const std::size_t bytes[] = {2'000, 20'000, 500'000};
    const milliseconds message_times[] = {seconds{5}, seconds{60}};
    if (random.one_in(3)) options.memory_limit = random.one_of(memory);
    if (random.one_in(5)) options.connection.receive_rates.messages = random.one_of(messages);
    if (random.one_in(5)) options.connection.receive_rates.bytes = random.one_of(bytes);
    if (random.one_in(4)) options.connection.max_message = 50'000;
    options.connection.message_timeout = random.one_of(message_times);
    if (options.memory_limit != 0) {  // short frames cost several times as much memory as they have bytes
        options.fragment_size = std::max<std::size_t>(options.fragment_size, 1000);
    }
}

ReactorOptions some_options(Random& random) {
    const std::size_t marks[] = {4'096, 65'536, 1 << 20};
    const std::size_t limits[] = {16'384, 1 << 20, 16 << 20};
    const SlowConsumer policies[] = {SlowConsumer::close, SlowConsumer::drop_oldest, SlowConsumer::drop_newest,
                                     SlowConsumer::keep_latest};
    const milliseconds intervals[] = {milliseconds{0}, seconds{1}, seconds{10}};
    const milliseconds times[] = {seconds{1}, seconds{5}};
    ReactorOptions options;
    ConnectionOptions& each = options.connection;
    each.send_queue.high_mark = random.one_of(marks);
    each.send_queue.hard_limit = std::max(random.one_of(limits), each.send_queue.high_mark);
    each.send_queue.policy = random.one_of(policies);
    options.fragment_size = random.one_in(3) ? random.size(4096) : 65'536;
    each.ping_interval = random.one_of(intervals);
    each.pong_timeout = random.one_of(times);
    each.close_timeout = random.one_of(times);
    add_limits(options, random);
    return options;
}

}  // namespace

Simulation::Simulation(std::uint64_t seed, Sabotage sabotage, bool traced)
    : random_(seed), sabotage_(sabotage), traced_(traced), options_(some_options(random_)) {
    make_server();
    trace_limits();
    if (random_.one_in(4)) spool_ = std::make_unique<SpoolWork>(random_, [this] { server_->broadcast({}); });
}

void Simulation::make_server() {
    habits_.publishes = random_.one_in(3);
    if (habits_.publishes && random_.one_in(2))
        options_.connection.send_queue.policy = SlowConsumer::close;  // publishers wait
    server_ = std::make_unique<SimulatedServer>(network_, place_, options_, 1 + random_.below(3), ledger_, random_,
                                                sabotage_);
    const std::size_t pieces[] = {1 << 16, 1 << 16, 4'000, 100, 7};
    const std::size_t large_pieces[] = {1 << 16, 4'000};
    const bool limited = options_.memory_limit != 0;
    receive_at_most_ = limited ? random_.one_of(large_pieces) : random_.one_of(pieces);
    if (limited) habits_.large = 512 << 10;
    if (limited && random_.one_in(2)) habits_.longest = 3'000;
    const std::size_t batches[] = {std::numeric_limits<std::size_t>::max(), 65'536, 1'000};
    const std::size_t batch = random_.one_of(batches);
    for (std::size_t i = 0; i < server_->reactors(); ++i) {
        server_->transport(i).receive_at_most(receive_at_most_);
        server_->transport(i).send_at_most(batch);
    }
}

Summary Simulation::run(std::size_t steps) {
    for (std::size_t i = 0; i < steps; ++i) {
        step();
        ledger_.check_watched();
        check_memory();
    }
    if (random_.one_in(4)) check_answers();
    stop();
    check_no_memory();
    check_clients();
    ledger_.check_watched();
    ledger_.check_stopped();
    if (server_->admitted() != 0) throw Violation{"an ended connection still counts as admitted"};
    if (unexplained_ > ledger_.dropped) {
        throw Violation{std::to_string(unexplained_) + " accepted messages did not arrive, and only " +
                        std::to_string(ledger_.dropped) + " count as dropped"};
    }
    if (spool_) spool_->check_end();
    Summary summary;
    summary.connections = ledger_.connections.size();
    summary.casts = ledger_.casts.size();
    summary.sends = ledger_.sends;
    summary.dropped = ledger_.dropped;
    summary.closed_for_memory = ledger_.counts.closed_for_memory;
    summary.memory_pauses = ledger_.counts.memory_pauses;
    summary.rate_pauses = ledger_.counts.rate_pauses;
    summary.publish_pauses = ledger_.counts.publish_pauses;
    summary.excess = excess_;
    for (const auto& [id, one] : ledger_.connections) {
        summary.messages += one.last_message;
        summary.replies += one.replies.size();
    }
    return summary;
}

void Summary::add(const Summary& other) noexcept {
    connections += other.connections;
    messages += other.messages;
    replies += other.replies;
    casts += other.casts;
    sends += other.sends;
    dropped += other.dropped;
    closed_for_memory += other.closed_for_memory;
    memory_pauses += other.memory_pauses;
    rate_pauses += other.rate_pauses;
    publish_pauses += other.publish_pauses;
    excess = std::max(excess, other.excess);
}

void Simulation::trace(const std::string& what) const {
    if (!traced_) return;
    const auto time = std::chrono::duration_cast<milliseconds>(network_.now().time_since_epoch());
    std::printf("%lld ms: %s\n", static_cast<long long>(time.count()), what.c_str());
}

void Simulation::trace_limits() const {
    if (!traced_) return;
    std::printf("%zu reactors; memory %zu, high mark %zu, hard limit %zu, policy %d, longest message %zu\n",
                server_->reactors(), options_.memory_limit, options_.connection.send_queue.high_mark,
                options_.connection.send_queue.hard_limit, static_cast<int>(options_.connection.send_queue.policy),
                options_.connection.max_message);
    std::printf("in a second %zu messages, %zu bytes; message timeout %lld ms, close timeout %lld ms; receives %zu\n",
                options_.connection.receive_rates.messages, options_.connection.receive_rates.bytes,
                static_cast<long long>(options_.connection.message_timeout->count()),
                static_cast<long long>(options_.connection.close_timeout.count()), receive_at_most_);
}

// --- Events ---

void Simulation::step() {
    const std::size_t what = random_.below(1000);
    if (what < 400) {
        if (!clients_.empty()) clients_[random_.below(clients_.size())]->act();
    } else if (what < 700) {
        server_->run(random_.below(server_->reactors()), random_.size(16));
    } else if (what < 850) {
        server_->work();
    } else if (what < 890) {
        act_as_hub();
    } else if (what < 930) {
        if (clients_.size() < 24) connect();
    } else if (what < 950) {
        if (spool_) spool_->act();
    } else if (what < 960) {
        probe();
    } else if (what < 975) {
        settle();
    } else if (what < 990) {
        pass_time(milliseconds{random_.size(4000)});
    } else if (what < 993) {
        stand_still();
    } else if (what < 994) {
        fail_something();
    }
}

void Simulation::connect() {
    const Manner manners[] = {Manner::polite, Manner::slow, Manner::rude, Manner::polite, Manner::hog, Manner::deaf};
    const std::size_t number = clients_.size();
    const Manner manner = random_.one_of(manners);
    trace("client " + std::to_string(number) + " connects, with manner " + std::to_string(static_cast<int>(manner)));
    Habits habits = habits_;
    habits.pooled = random_.one_in(3);
    habits.publishes = habits_.publishes && random_.one_in(4);
    clients_.push_back(std::make_unique<Client>(network_.wire(place_), number, manner, habits, random_));
}

ConnectionId Simulation::some_id() {
    if (ledger_.connections.empty()) return {};
    auto chosen = ledger_.connections.begin();
    std::advance(chosen, static_cast<std::ptrdiff_t>(random_.below(ledger_.connections.size())));
    return chosen->first;
}

void Simulation::act_as_hub() {
    switch (random_.below(12)) {
        case 0:
            server_->hub()->ping_all();
            break;
        case 1:
            (void)server_->hub()->ping(some_id(), bytes_of("!"));
            break;
        case 2:
            if (random_.one_in(4)) (void)server_->hub()->close(some_id(), CloseCode::normal, "by the hub");
            break;
        case 3:
            if (random_.one_in(40)) server_->hub()->close_all(CloseCode::going_away, "all");
            break;
        case 4:
        case 5:
            server_->broadcast({.subprotocol = random_.one_in(2) ? "pooled" : "inline"});
            break;
        case 6:
        case 7:
            server_->broadcast({});
            break;
        default:
            server_->send(some_id());
    }
}

void Simulation::fail_something() {
    const MemoryOperation operations[] = {MemoryOperation::receive, MemoryOperation::send, MemoryOperation::accept};
    const MemoryOperation operation = random_.one_of(operations);
    faults_ = true;
    const auto error = operation == MemoryOperation::accept ? std::errc::too_many_files_open : std::errc::io_error;
    server_->transport(random_.below(server_->reactors()))
        .fail(operation, random_.size(20), std::make_error_code(error));
}

void Simulation::settle() {
    for (int round = 0; round < 3; ++round) {
        server_->run_until_idle();
        for (const auto& client : clients_) {
            if (client->keeps_up()) client->catch_up();
        }
    }
    server_->run_until_idle();
}

void Simulation::pass_time(Clock::duration by, Clock::duration step) {
    const Clock::time_point end = network_.now() + by;
    trace("time passes");
    while (network_.now() < end) {
        settle();
        network_.stand_still(std::min<Clock::duration>(step, end - network_.now()));
        network_.advance({});  // alarms
        check_memory();
    }
    settle();
    if (by < seconds{1} || options_.memory_limit == 0 || server_->memory() <= options_.memory_limit) return;
    throw Violation{std::to_string(server_->memory()) + " bytes are still held, and the limit is " +
                    std::to_string(options_.memory_limit)};
}

void Simulation::stand_still() {
    settle();
    network_.stand_still(milliseconds{random_.size(300'000)});
    trace("the server stood still");
    for (const auto& client : clients_) {
        if (client->is_polite() && random_.one_in(2)) client->catch_up();
    }
    settle();
    pass_time(milliseconds{500});
}

void Simulation::probe() {
    if (clients_.empty()) return;
    Client& client = *clients_[random_.below(clients_.size())];
    const auto id = server_->id_of(client.number());
    if (client.publishes() || options_.connection.receive_rates.any())
        return;  // it may have to wait: see check_answers()
    if (!id || !client.is_polite() || !client.is_open() || ledger_.connections[*id].pooled) return;
    client.send(10);
    client.catch_up();
    const std::uint64_t wanted = ledger_.connections[*id].last_message;
    const auto info = server_->info(*id);
    if (!info) return;
    const std::size_t patience = 4 * (clients_.size() + 10) * (info->queued / 500 + 20'000 / receive_at_most_ + 50);
    for (std::size_t turns = 0; ledger_.connections[*id].last_message < client.sent(); ++turns) {
        if (turns > patience) {
            throw Violation{"client " + std::to_string(client.number()) + " starves: " + std::to_string(turns) +
                            " turns, and its message " + std::to_string(wanted + 1) + " has not been received"};
        }
        if (server_->run(id->reactor, 1) == 0) {
            if (ledger_.connections[*id].closed > 0 || !client.is_open()) return;
            client.catch_up();
            if (server_->run(id->reactor, 1) == 0) return;  // it waits for something else, such as space
        }
        client.catch_up();
        if (client.has_ended() || ledger_.connections[*id].closed > 0) return;
    }
}

// --- Limits ---

void Simulation::check_memory() {
    if (options_.memory_limit == 0) return;
    const std::size_t held = server_->memory();
    // Each reactor looks when it has grown by a step, after the turns that were queued before. In one of them, a whole
    // message may be answered: the answer waits in memory of up to twice its size.
    const std::size_t in_one_turn =
        clients_.size() * MemoryTransport::receive_buffer_size + server_->reactors() * 2 * habits_.large;
    const std::size_t most = options_.memory_limit + in_one_turn + server_->reactors() * (64 << 10);
    if (held > options_.memory_limit) excess_ = std::max(excess_, held - options_.memory_limit);
    if (held <= most) return;
    throw Violation{std::to_string(held) + " bytes are held, and the limit is " +
                    std::to_string(options_.memory_limit)};
}

void Simulation::check_no_memory() const {
    if (server_->memory() == 0) return;
    throw Violation{std::to_string(server_->memory()) + " bytes are held, and all connections are gone"};
}

/// How long a client may have to wait until all that it has sent is received.
Clock::duration Simulation::longest_wait(const Client& client) const {
    const ReceiveRates& rates = options_.connection.receive_rates;
    Clock::duration time = seconds{10};
    if (rates.messages != 0) time += seconds{2 * client.sent() / rates.messages};
    if (rates.bytes != 0) time += seconds{2 * client.sent_bytes() / rates.bytes};
    // Each receiver may lag, and is closed if it takes nothing.
    if (client.publishes()) time += 2 * clients_.size() * options_.connection.close_timeout;
    return time;
}

void Simulation::check_answers() {
    settle();
    trace("polite clients wait for answers");
    std::map<std::size_t, std::uint64_t> sent;
    Clock::duration time{};
    for (const auto& client : clients_) {
        if (!client->is_polite() || !client->is_open()) continue;
        sent[client->number()] = client->sent();
        time = std::max(time, longest_wait(*client));
    }
    pass_time(time, milliseconds{250});
    for (const auto& [number, count] : sent) {
        const Client& client = *clients_[number];
        const ConnectionRecord* record = record_of(client);
        if (record == nullptr || record->closed > 0 || record->ended > 0 || !client.is_open()) continue;
        if (record->last_message >= count) continue;
        throw Violation{"client " + std::to_string(number) + " starves: its message " +
                        std::to_string(record->last_message + 1) + " of " + std::to_string(count) +
                        " was not received in time"};
    }
}

// --- The end ---

void Simulation::stop() {
    for (const auto& client : clients_) {
        if (random_.chance(70)) client->calm_down();
        if (random_.one_in(4)) client->close();
    }
    if (random_.one_in(5)) return server_->finish();
    if (random_.one_in(2)) pass_time(seconds{2});
    server_->stop(network_.now() + seconds{30});
    pass_time(seconds{1});
    for (int i = 0; i < 100 && !server_->has_stopped(); ++i) pass_time(milliseconds{500});
    if (!server_->has_stopped()) throw Violation{"the server does not stop in time"};
    check_no_memory();
    server_->finish();
}

ConnectionRecord* Simulation::record_of(const Client& client) {
    const auto id = server_->id_of(client.number());
    return id ? &ledger_.connections[*id] : nullptr;
}

void Simulation::check_clients() {
    for (const auto& client : clients_) {
        client->catch_up();  // what the server has sent before it closed the stream
        check_client(*client);
        for (const auto& [source, arrivals] : client->arrivals()) {
            if (!source.starts_with("cast")) continue;
            for (const std::uint64_t number : arrivals.numbers()) ++ledger_.casts[number].arrivals;
        }
    }
}

void Simulation::check_code(const Client& client, const ConnectionRecord& record) const {
    const std::string who = "client " + std::to_string(client.number());
    const auto text = [](CloseCode code) { return std::to_string(static_cast<unsigned>(code)); };
    if (client.saw_close() && client.close_code() != record.sent_code) {
        throw Violation{who + " has received " + text(client.close_code()) + ", but sent was " +
                        text(record.sent_code)};
    }
    const ConnectionEnd& end = record.end;
    const auto promised = promised_code(end.cause);
    if (!end.opened || !promised || end.code == *promised) return;
    // It was closing before, or the peer has answered with another code, or not at all.
    if (end.cause.starts_with("slow consumer") || record.sent_code != CloseCode::no_status) return;
    throw Violation{who + " was closed (" + end.cause + "), and the report says " + text(end.code)};
}

void Simulation::check_client(const Client& client) {
    const ConnectionRecord* record = record_of(client);
    if (record == nullptr) return;
    if (client.is_polite() && !client.was_rude() && !faults_ && record->end.error == std::errc::timed_out)
        throw Violation{"client " + std::to_string(client.number()) + " was cut: " + record->end.cause};
    if (client.is_polite() && habits_.longest <= 3'000 && !options_.connection.receive_rates.any() &&
        record->end.cause == "out of memory budget") {
        throw Violation{"client " + std::to_string(client.number()) + " holds little and was closed for memory"};
    }
    check_code(client, *record);
    const auto missing_of = [&](const char* source, const std::vector<std::uint64_t>& queued) {
        const auto found = client.arrivals().find(source);
        const auto come = found == client.arrivals().end() ? std::vector<std::uint64_t>{} : found->second.numbers();
        if (!std::ranges::includes(queued, come)) {
            throw Violation{"client " + std::to_string(client.number()) + " received a " + source + " too many"};
        }
        return queued.size() - come.size();
    };
    const std::size_t replies = missing_of("echo", record->replies);
    const std::size_t sends = missing_of("send", record->sends);
    if (!client.saw_close() || client.was_rude()) return;
    // The server's Close frame follows everything that was queued before.
    if (!record->pooled && replies > record->end.info.dropped) {
        throw Violation{"client " + std::to_string(client.number()) + " lacks " + std::to_string(replies) +
                        " replies before the Close frame"};
    }
    unexplained_ += replies + sends;
}

}  // namespace wsserver::simulate
