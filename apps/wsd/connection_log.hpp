// Logs connections: one line for each that opened, ended or was refused, and their control frames.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

#include "wsd/log.hpp"
#include "wsd/refusal_sums.hpp"
#include "wsserver/connection/connection_info.hpp"
#include "wsserver/server.hpp"

namespace wsd {

/// For any thread. A thread of its own writes the sums of equal refusals when they are due.
class ConnectionLog {
   public:
    explicit ConnectionLog(std::shared_ptr<Log> log);
    ConnectionLog(const ConnectionLog&) = delete;
    ConnectionLog& operator=(const ConnectionLog&) = delete;
    /// flush()
    ~ConnectionLog();

    /// Logs at level debug who connected: target, Origin, subprotocols, User-Agent.
    void opened(const wsserver::ConnectionStart& start);
    /// Logs connections that were open and refused opening handshakes at level info. Of equal refusals of one address
    /// the first is logged, and then their sum. Peers that requested a page or closed without a request are logged at
    /// level debug, since load balancers do that all day.
    void ended(const wsserver::ConnectionEnd& end);
    /// Logs Close frames, Pings, Pongs and dropped messages at level debug.
    void happened(const wsserver::ConnectionEvent& event);
    /// Writes the sums so far.
    void flush();

   private:
    bool is_repeated(const wsserver::ConnectionEnd& end);
    void write(const std::vector<RefusalSums::Sum>& sums);
    void write_due();
    void write_due_sums(const std::stop_token& stop);

    const std::shared_ptr<Log> log_;
    std::mutex mutex_;
    std::condition_variable_any changed_;
    RefusalSums sums_;
    std::jthread writer_;  ///< last: it uses the other members
};

}  // namespace wsd
