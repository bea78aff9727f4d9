// Reports the daemon's state to systemd (sd_notify(3)): datagrams to NOTIFY_SOCKET.
#pragma once

#include <string>
#include <string_view>

namespace wsd {

class Notifier {
   public:
    /// `socket`: a path, or `@name` in Linux' abstract namespace. Empty: sends nothing.
    explicit Notifier(std::string socket) : socket_(std::move(socket)) {}

    void ready(std::string_view status) const;
    void reloading() const;
    void stopping() const { send("STOPPING=1"); }

   private:
    /// Ignores errors: delivery is the supervisor's concern.
    void send(std::string_view message) const;

    std::string socket_;
};

}  // namespace wsd
