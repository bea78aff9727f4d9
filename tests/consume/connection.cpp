// A program that uses the core without sockets: connections, their pool, tasks, the network in memory. It links none of
// our libraries, and OpenSSL's libcrypto of others.
#include <wsserver/connection/connection.hpp>
#include <wsserver/connection/connection_pool.hpp>
#include <wsserver/connection/src.hpp>
#include <wsserver/scheduling/priority_task_queue.hpp>
#include <wsserver/transport/memory.hpp>

#include <cstdio>

using wsserver::MemoryTransport;
using wsserver::Role;

// Everything that they can do links.
template class wsserver::Connection<Role::server, MemoryTransport>;
template class wsserver::Connection<Role::client, MemoryTransport>;
template class wsserver::ConnectionPool<wsserver::Connection<Role::server, MemoryTransport>>;

namespace {

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
    const bool done = bytes_arrive() && task_runs();
    std::puts(done ? "done" : "failed");
    return done ? 0 : 1;
}
