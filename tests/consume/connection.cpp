// A program that uses the core without sockets: connections, their pool, tasks, the network in memory. It links none of
// our libraries, and OpenSSL's libcrypto of others.
#include <wsserver/connection/default_owner.hpp>
#include <wsserver/connection/src.hpp>
#include <wsserver/scheduling/priority_task_queue.hpp>
#include <wsserver/transport/memory.hpp>

#include <cstdio>
#include <string>
#include <utility>

namespace {

struct Echo {
    void on_message(wsserver::AnyConnection& connection, const wsserver::Text& message) { connection.send(message); }
};

struct Hello {
    std::string* answer;
    void on_open(wsserver::AnyConnection& connection) { connection.send(wsserver::Text{"hello"}); }
    void on_message(wsserver::AnyConnection& connection, const wsserver::Text& message) {
        *answer = message.text;
        connection.close();
    }
};

bool connections_talk() {
    const wsserver::Endpoint place{"server.example", 80, {}};
    wsserver::MemoryNetwork network;
    wsserver::ServerOn<wsserver::MemoryTransport> server{network};
    server.handle(Echo{});
    server.listen(std::move(network.open_listeners(place).front()));

    std::string answer;
    wsserver::ClientOn<wsserver::MemoryTransport> client{network};
    const auto connecting = client.transport().connect(place, wsserver::Clock::time_point::max(), [&](auto socket) {
        if (socket) client.connect(*std::move(socket), {.host = "server.example"}, Hello{&answer});
    });
    network.run_until_idle();
    return answer == "hello";
}

struct Alone final : wsserver::Worker {
    void failed(wsserver::TaskName, std::exception_ptr) noexcept override {}
};

bool bytes_arrive() {
    wsserver::MemoryNetwork network;
    auto [near, far] = network.pair();
    wsserver::MemoryWire from{std::move(near)};
    wsserver::MemoryWire to{std::move(far)};
    from.write("hello");
    return to.read() == "hello";
}

bool task_runs() {
    bool ran = false;
    Alone worker;
    wsserver::PriorityTaskQueue queue;
    queue.push(make_task(wsserver::Priority::message, wsserver::TaskName{"one"}, [&ran] { ran = true; }));
    wsserver::TaskPtr task = queue.pop();
    wsserver::Task& run = *task;
    run.run(std::move(task), worker);
    return ran;
}

}  // namespace

int main() {
    const bool done = connections_talk() && bytes_arrive() && task_runs();
    std::puts(done ? "done" : "failed");
    return done ? 0 : 1;
}
