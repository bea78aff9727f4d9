#include "wsserver/transport/peer_address.hpp"

#include <string>

#include "support/catch.hpp"

using namespace wsserver;

TEST_CASE("the address of a peer is returned unchanged", "[peer_address]") {
    const std::string long_path(5000, 'p');
    for (const std::string& text : {
             std::string{},
             std::string{"127.0.0.1:5000"},
             std::string{"0.0.0.0:0"},
             std::string{"255.255.255.255:65535"},
             std::string{"1.2.3.4:1"},
             std::string{"[::1]:5000"},
             std::string{"[fe80::1234:5678:9abc:def0%eth0]:50001"},
             std::string{"unix:"},
             std::string{"unix:@wsd"},
             "unix:/" + long_path,
             // Similar to IPv4 with a port.
             std::string{"127.0.0.1"},
             std::string{"127.0.0.1:"},
             std::string{"127.0.0.1:65536"},
             std::string{"127.0.0.1:05000"},
             std::string{"127.0.0.001:5000"},
             std::string{"256.0.0.1:5000"},
             std::string{"127.0.0:5000"},
             std::string{"127.0.0.1.2:5000"},
             std::string{"127.0.0.1:5000 "},
             std::string{" 127.0.0.1:5000"},
             std::string{"127.0.0.-1:5000"},
             std::string{"127.0.0.1:4294967297"},
             std::string{"."},
         }) {
        CAPTURE(text);
        CHECK(PeerAddress{text}.text() == text);
    }
}

TEST_CASE("no address is an empty text", "[peer_address]") { CHECK(PeerAddress{}.text().empty()); }
