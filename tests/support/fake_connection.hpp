// A connection and a hub that only write down what a handler does with them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "support/strings.hpp"
#include "wsserver/connection/any_connection.hpp"
#include "wsserver/connection/any_handler.hpp"

namespace wsserver::test {

/// Each call is one line: `send 0-1-1 text hi`, `broadcast chat except 0-1-1 binary hi`.
class FakeHub final : public Hub {
   public:
    std::vector<std::string> calls{};
    SendStatus status = SendStatus::queued;  ///< the answer to everything
    std::size_t receivers = 0;               ///< the answer to broadcasts
    std::vector<Count> withheld{};           ///< their answers, while `withhold` is set
    bool withhold = false;
    std::function<void()> before_answer{};  ///< called in each broadcast

    SendStatus send(ConnectionId to, const Text& message) override {
        return note("send " + to_string(to) + " text " + std::string{message.text});
    }
    SendStatus send(ConnectionId to, const Binary& message) override {
        return note("send " + to_string(to) + " binary " + std::string{text_of(message.bytes)});
    }
    SendStatus ping(ConnectionId to, Bytes payload) override {
        return note("ping " + to_string(to) + " " + std::string{text_of(payload)});
    }
    SendStatus close(ConnectionId to, CloseCode code, std::string_view reason) override {
        return note("close " + to_string(to) + " " + std::to_string(static_cast<int>(code)) + " " +
                    std::string{reason});
    }
    void broadcast(const Audience& audience, const Text& message, Count done = {}) override {
        note("broadcast " + words_of(audience) + "text " + std::string{message.text});
        answer(std::move(done));
    }
    void broadcast(const Audience& audience, const Binary& message, Count done = {}) override {
        note("broadcast " + words_of(audience) + "binary " + std::string{text_of(message.bytes)});
        answer(std::move(done));
    }
    void ping_all(Count done = {}) override {
        note("ping_all");
        answer(std::move(done));
    }
    void close_all(CloseCode code, std::string_view reason, Count done = {}) override {
        note("close_all " + std::to_string(static_cast<int>(code)) + " " + std::string{reason});
        answer(std::move(done));
    }

   private:
    SendStatus note(std::string call) {
        calls.push_back(std::move(call));
        return status;
    }
    void answer(Count done) {
        if (before_answer) before_answer();
        if (withhold) {
            withheld.push_back(std::move(done));
        } else if (done) {
            done(receivers);
        }
    }
    static std::string words_of(const Audience& audience) {
        std::string words = audience.subprotocol ? *audience.subprotocol + " " : "all ";
        if (audience.except) words += "except " + to_string(*audience.except) + " ";
        return words;
    }
};

class FakeConnection final : public AnyConnection {
   public:
    explicit FakeConnection(std::shared_ptr<Hub> hub = std::make_shared<FakeHub>(), ConnectionId id = {0, 1, 1})
        : hub_(std::move(hub)), id_(id) {}

    std::vector<std::string> calls{};
    SendStatus status = SendStatus::queued;
    std::string subprotocol_text = "chat";
    std::string target_text = "/";

    SendStatus send(const Text& message) override { return note("text " + std::string{message.text}); }
    SendStatus send(const Binary& message) override { return note("binary " + std::string{text_of(message.bytes)}); }
    SendStatus ping(Bytes payload = {}) override { return note("ping " + std::string{text_of(payload)}); }
    SendStatus close(CloseCode code = CloseCode::normal, std::string_view reason = {}) override {
        return note("close " + std::to_string(static_cast<int>(code)) + " " + std::string{reason});
    }

    ConnectionId id() const noexcept override { return id_; }
    std::string_view subprotocol() const noexcept override { return subprotocol_text; }
    std::string peer() const override { return "127.0.0.1:5000"; }
    std::string_view target() const noexcept override { return target_text; }
    const std::shared_ptr<Hub>& hub() const noexcept override { return hub_; }
    void* user_data() const noexcept override { return user_data_; }
    void set_user_data(void* data) noexcept override { user_data_ = data; }

   private:
    SendStatus note(std::string call) {
        calls.push_back(std::move(call));
        return status;
    }

    std::shared_ptr<Hub> hub_;
    ConnectionId id_;
    void* user_data_ = nullptr;
};

}  // namespace wsserver::test
