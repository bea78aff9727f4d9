#include "wsserver/transport/detail/accept_peers.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <vector>

#include "support/catch.hpp"

using namespace wsserver;
using namespace wsserver::detail;

namespace {

/// Answers each call with the next error, then with the last one forever. 0: a peer.
struct Answers {
    std::vector<int> errors;
    int calls = 0;

    Descriptor operator()() {
        const auto i = std::min(static_cast<std::size_t>(calls++), errors.size() - 1);
        errno = errors[i];
        return Descriptor{errors[i] == 0 ? ::dup(0) : -1};
    }
};

}  // namespace

TEST_CASE("each error of accept is of one peer, or lasting, or says that none waits", "[accept_peers]") {
    constexpr std::array of_peer{EINTR,  ECONNABORTED, ECONNRESET,   EPROTO,     ENETDOWN,    ENOPROTOOPT,
                                 ENONET, EHOSTDOWN,    EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, ETIMEDOUT};
    for (int error = 1; error < 134; ++error) {
        CAPTURE(error);
        auto expected = AcceptError::lasting;
        if (error == EAGAIN || error == EWOULDBLOCK) expected = AcceptError::none_waits;
        if (std::ranges::find(of_peer, error) != of_peer.end()) expected = AcceptError::of_peer;
        CHECK(classify_accept_error(error) == expected);
    }
    for (const int error : {EPERM, EACCES, EMFILE, ENFILE, ENOBUFS, ENOMEM, EINVAL, EBADF, ENOSYS}) {
        CHECK(classify_accept_error(error) == AcceptError::lasting);
    }
}

TEST_CASE("accepting continues after a peer that is gone, and pauses after a lasting error", "[accept_peers]") {
    struct Row {
        std::vector<int> answers;
        int result, peers, calls;
    };
    const Row row = GENERATE(values<Row>({
        {{EAGAIN}, 0, 0, 1},
        {{0, 0, EAGAIN}, 0, 2, 3},
        {{ECONNABORTED, 0, EPROTO, 0, EAGAIN}, 0, 2, 5},
        {{0, EMFILE}, EMFILE, 1, 2},
        {{EPERM}, EPERM, 0, 1},
        {{0, EPERM}, EPERM, 1, 2},
        {{ECONNABORTED}, ECONNABORTED, 0, accepts_per_turn},
        {{0, ECONNABORTED}, 0, 1, accepts_per_turn},
        {{0}, 0, accepts_per_turn, accepts_per_turn},
    }));
    CAPTURE(row.answers);
    Answers answers{row.answers};
    int peers = 0;
    const auto count = [&peers](const Descriptor&) {
        ++peers;
        return true;
    };
    CHECK(accept_peers_from(answers, count) == row.result);
    CHECK(peers == row.peers);
    CHECK(answers.calls == row.calls);
}

TEST_CASE("accepting ends when the function for peers returns false", "[accept_peers]") {
    Answers answers{{0}};
    CHECK(accept_peers_from(answers, [](const Descriptor&) { return false; }) == 0);
    CHECK(answers.calls == 1);
}
