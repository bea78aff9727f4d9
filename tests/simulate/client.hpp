// A client of a simulation: it writes and reads in pieces of any size, and may do what clients should not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "simulate/ledger.hpp"
#include "simulate/random.hpp"
#include "support/counting_keys.hpp"
#include "wsserver/protocol/protocol.hpp"
#include "wsserver/transport/memory.hpp"

namespace wsserver::simulate {

/// How a client behaves.
enum class Manner : std::uint8_t {
    polite,  ///< takes and writes everything at once: it must never be cut
    slow,    ///< writes and reads some bytes at a time, and sometimes none
    rude,    ///< the same, and it breaks rules, resets its stream or goes away
    hog,     ///< sends large messages without their last bytes, and may end them later or never
    deaf,    ///< sends, and reads nothing
};

/// What a client sends.
struct Habits {
    bool pooled = false;           ///< it sends to the pooled handler
    bool publishes = false;        ///< the handler publishes its messages instead of answering them
    std::size_t longest = 60'000;  ///< its longest message, in bytes
    std::size_t large = 20'000;    ///< the same for hogs and deaf clients
};

class Client {
   public:
    Client(MemoryWire wire, std::size_t number, Manner manner, Habits habits, Random& random);

    /// Something that a client may do at any time.
    void act();
    /// Writes all that it has to write, reads all that has arrived, and answers it.
    void catch_up();
    /// Sends a numbered message.
    void send(std::size_t filling);
    /// Begins the closing handshake.
    void close();
    /// Reads and writes everything from now on.
    void calm_down() noexcept { calm_ = true; }

    bool is_polite() const noexcept { return manner_ == Manner::polite; }
    bool publishes() const noexcept { return habits_.publishes; }
    bool keeps_up() const noexcept { return calm_ || is_polite(); }
    std::size_t number() const noexcept { return number_; }
    bool is_open() const noexcept { return state_ == State::open; }
    bool has_ended() const noexcept { return state_ == State::ended; }
    /// The server's Close frame has arrived: so must all that was queued before it.
    bool saw_close() const noexcept { return saw_close_; }
    /// Of that frame.
    CloseCode close_code() const noexcept { return close_code_; }
    /// Ended the stream, or broke a rule.
    bool was_rude() const noexcept { return was_rude_; }
    std::uint64_t sent() const noexcept { return sent_; }
    std::uint64_t sent_bytes() const noexcept { return sent_bytes_; }
    const std::map<std::string, Arrivals>& arrivals() const noexcept { return arrivals_; }
    std::uint64_t last_echo() const;

   private:
    enum class State : std::uint8_t { connecting, open, closing, ended };

    void encode();
    void write(std::size_t most);
    void read(std::size_t most);
    void take(std::string bytes);
    void react(const Event& event);
    void arrived(std::string_view text);
    void be_rude();
    void be_a_hog();
    std::size_t next_size();
    void end();

    MemoryWire wire_;
    std::size_t number_;
    const Manner manner_;
    const Habits habits_;
    bool calm_ = false;
    Random& random_;
    State state_ = State::connecting;
    bool saw_close_ = false;
    CloseCode close_code_ = CloseCode::no_status;
    bool was_rude_ = false;
    bool tired_ = false;  ///< reads nothing for a while
    std::uint64_t sent_ = 0;
    std::uint64_t sent_bytes_ = 0;  ///< of all frames
    std::map<std::string, Arrivals> arrivals_;
    std::string unwritten_;
    std::string response_;

    // Allocated, because the protocol refers to its options.
    struct End {
        End() { options.keys = &keys; }
        test::CountingKeys keys;
        ProtocolOptions options;
        Protocol<Role::client> protocol{options};
    };
    std::unique_ptr<End> end_ = std::make_unique<End>();
    OutputBuffer out_;
};

}  // namespace wsserver::simulate
