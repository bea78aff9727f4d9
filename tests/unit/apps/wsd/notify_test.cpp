#include "wsd/notify.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <regex>
#include <string>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "wsserver/base/descriptor.hpp"

namespace {

/// Receives messages on the socket `name`; `@...` is abstract.
class Supervisor {
   public:
    explicit Supervisor(const std::string& name)
        : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        REQUIRE(name.size() < sizeof address.sun_path);
        std::memcpy(address.sun_path, name.data(), name.size());
        if (name.front() == '@') address.sun_path[0] = '\0';
        const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
        REQUIRE(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    }

    std::string next() const {
        std::array<char, 1024> text{};
        const auto size = ::recv(socket_.get(), text.data(), text.size(), 0);
        return size < 0 ? "nothing" : std::string{text.data(), static_cast<std::size_t>(size)};
    }

   private:
    wsserver::Descriptor socket_;
};

}  // namespace

TEST_CASE("the supervisor receives the messages of systemd's protocol", "[wsd][notify]") {
    const wsserver::test::TemporaryFolder folder;
    for (const std::string& name : {folder.path() + "/notify", "@wsd-notify-test-" + std::to_string(::getpid())}) {
        CAPTURE(name);
        const Supervisor supervisor{name};
        const wsd::Notifier notifier{name};
        notifier.ready("listening on ws://127.0.0.1:1");
        CHECK(supervisor.next() ==
              "READY=1\nMAINPID=" + std::to_string(::getpid()) + "\nSTATUS=listening on ws://127.0.0.1:1");
        notifier.reloading();
        CHECK(std::regex_match(supervisor.next(), std::regex{"RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*"}));
        notifier.stopping();
        CHECK(supervisor.next() == "STOPPING=1");
        CHECK(supervisor.next() == "nothing");
    }
}

TEST_CASE("nothing happens without a supervisor, or with one that does not read", "[wsd][notify]") {
    const wsserver::test::TemporaryFolder folder;
    for (const std::string& name : {std::string{}, folder.path() + "/nobody", std::string(200, 'x')}) {
        const wsd::Notifier notifier{name};
        notifier.ready("here");
        notifier.stopping();
    }
    const Supervisor deaf{folder.path() + "/deaf"};
    const wsd::Notifier notifier{folder.path() + "/deaf"};
    for (int i = 0; i < 10'000; ++i) notifier.stopping();  // far more than its queue holds: no call blocks
    CHECK(deaf.next() == "STOPPING=1");
}
