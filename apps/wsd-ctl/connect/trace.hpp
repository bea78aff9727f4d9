// Shows what goes over the wire: the opening handshake both ways, and every frame.
#pragma once

#include <chrono>
#include <ostream>
#include <string_view>

#include "wsserver/handshake/http.hpp"
#include "wsserver/protocol/frame_tap.hpp"

namespace wsd::ctl {

/// `>` is sent, `<` is received; times are seconds since the construction.
class Trace final : public wsserver::FrameTap {
   public:
    explicit Trace(std::ostream& out) : out_(out) {}

    void request(std::string_view text);
    void response(const wsserver::HttpResponse& response);
    /// `   0.012 < text, FIN, 5 bytes`
    void on_frame(bool incoming, const wsserver::FrameHeader& header) override;

   private:
    void line(std::string_view mark, std::string_view text);

    std::ostream& out_;
    const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace wsd::ctl
