// The second reference server: sends received bytes back over TCP, or to all connections, with io_uring only. One
// system call submits all sends of a turn, which read directly from the receive buffers.
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "load/ring.hpp"
#include "loopback.hpp"

namespace {

using namespace wsserver::bench;

enum class What : std::uint32_t { accepted, received, sent_some, sent_rest };

constexpr std::uint64_t data(What what, std::uint32_t file) {
    return std::uint64_t{file} << 32 | static_cast<std::uint32_t>(what);
}

class RawEcho {
   public:
    explicit RawEcho(Sends sends) : sends_(sends) { accept(); }

    void turn() {
        ++turn_;
        sent_.swap(lent_);
        ring_.turn([this](const io_uring_cqe& completion) { react(completion); });
        // The kernel has finished the submitted sends. Bytes that it did not take were copied.
        for (const unsigned buffer : sent_) ring_.buffers().release(buffer);
        sent_.clear();
        if (!publication_.empty()) publish();
        for (const std::uint32_t file : owing_) send(file);
        owing_.clear();
    }

   private:
    struct Peer {
        std::vector<iovec> reply{};  ///< parts of the receive buffers
        std::uint64_t reply_turn = 0;
        msghdr message{};
        std::string leaving{},
            unsent{};  ///< bytes that the kernel has not taken; receiving is paused until they are sent
        bool receives = false;
        bool open = false;
    };

    void react(const io_uring_cqe& completion) {
        const auto file = static_cast<std::uint32_t>(completion.user_data >> 32);
        switch (static_cast<What>(completion.user_data & 0xffffffff)) {
            case What::accepted:
                return accepted(completion);
            case What::received:
                return received(file, completion);
            case What::sent_some:
                return sent_some(file, completion.res);
            case What::sent_rest:
                return sent_rest(file, completion.res);
        }
    }

    void accept() { ring_.accept_many(listener_, data(What::accepted, 0)); }

    void receive(std::uint32_t file) {
        peers_[file].receives = true;
        ring_.receive_many(file, data(What::received, file));
    }

    void accepted(const io_uring_cqe& completion) {
        if ((completion.flags & IORING_CQE_F_MORE) == 0) accept();
        if (completion.res < 0) return;
        const auto file = static_cast<std::uint32_t>(completion.res);
        if (file >= peers_.size()) peers_.resize(file + 1);
        peers_[file] = {};
        peers_[file].open = true;
        receive(file);
    }

    void received(std::uint32_t file, const io_uring_cqe& completion) {
        Peer& peer = peers_[file];
        if (completion.res > 0) keep(file, completion);
        if ((completion.flags & IORING_CQE_F_MORE) != 0) return;
        peer.receives = false;
        if (completion.res > 0 || completion.res == -ENOBUFS) {
            if (peer.leaving.empty()) receive(file);
        } else if (completion.res != -ECANCELED) {
            peer.open = false;
            ring_.close(file);
        }
    }

    void keep(std::uint32_t file, const io_uring_cqe& completion) {
        Peer& peer = peers_[file];
        const iovec bytes = ring_.buffers().take(completion);
        if (sends_ == Sends::back && !peer.leaving.empty()) {
            peer.unsent.append(static_cast<const char*>(bytes.iov_base), bytes.iov_len);
            return ring_.buffers().release(ReceiveBuffers::buffer_of(completion));
        }
        lent_.push_back(ReceiveBuffers::buffer_of(completion));
        if (sends_ == Sends::to_all) return publication_.push_back(bytes);
        if (std::exchange(peer.reply_turn, turn_) != turn_) {
            peer.reply.clear();
            owing_.push_back(file);
        }
        peer.reply.push_back(bytes);
    }

    /// Sends all publications of this turn to each peer in one send.
    void publish() {
        for (std::uint32_t file = 0; file < peers_.size(); ++file) {
            Peer& peer = peers_[file];
            if (!peer.open) continue;
            if (peer.leaving.empty()) {
                peer.reply = publication_;
                owing_.push_back(file);
                continue;
            }
            for (const iovec& bytes : publication_) {
                peer.unsent.append(static_cast<const char*>(bytes.iov_base), bytes.iov_len);
            }
        }
        publication_.clear();
    }

    void send(std::uint32_t file) {
        Peer& peer = peers_[file];
        ring_.send_now(file, peer.reply, peer.message, data(What::sent_some, file));
    }

    /// Called only if the send was short, and before bytes that were received later.
    void sent_some(std::uint32_t file, int result) {
        if (result < 0 && result != -EAGAIN) return;  // the receive reports the error
        Peer& peer = peers_[file];
        auto sent = static_cast<std::size_t>(std::max(result, 0));
        for (const iovec& bytes : peer.reply) {
            const std::size_t skipped = std::min(sent, bytes.iov_len);
            peer.unsent.append(static_cast<const char*>(bytes.iov_base) + skipped, bytes.iov_len - skipped);
            sent -= skipped;
        }
        if (peer.receives) ring_.cancel(data(What::received, file));
        send_rest(file);
    }

    void send_rest(std::uint32_t file) {
        peers_[file].leaving.swap(peers_[file].unsent);
        ring_.send_all(file, peers_[file].leaving, data(What::sent_rest, file));
    }

    void sent_rest(std::uint32_t file, int result) {
        Peer& peer = peers_[file];
        peer.leaving.clear();
        if (result < 0) return;
        if (!peer.unsent.empty()) return send_rest(file);
        if (!peer.receives) receive(file);
    }

    const Sends sends_;
    Ring ring_{Ring::Options{}};
    int listener_ = listen_on_loopback(0);
    std::uint64_t turn_ = 0;
    std::deque<Peer> peers_;          ///< by file
    std::vector<iovec> publication_;  ///< the bytes of this turn, for all peers
    std::vector<std::uint32_t> owing_;
    std::vector<unsigned> lent_, sent_;  ///< buffers of replies not yet submitted; of submitted replies
};

}  // namespace

int main(int count, char** words) {
    try {
        RawEcho echo{parse_words(count, words)};
        for (;;) echo.turn();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "raw_echo_uring: %s\n", error.what());
        return 1;
    }
}
