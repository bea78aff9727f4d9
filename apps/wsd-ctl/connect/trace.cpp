#include "wsd-ctl/connect/trace.hpp"

#include <fmt/format.h>

#include "wsserver/base/shell_words.hpp"

namespace wsd::ctl {

namespace {

std::string_view name_of(wsserver::Opcode opcode) {
    switch (opcode) {
        case wsserver::Opcode::continuation:
            return "continuation";
        case wsserver::Opcode::text:
            return "text";
        case wsserver::Opcode::binary:
            return "binary";
        case wsserver::Opcode::close:
            return "close";
        case wsserver::Opcode::ping:
            return "ping";
        case wsserver::Opcode::pong:
            return "pong";
    }
    return "reserved opcode";
}

}  // namespace

void Trace::line(std::string_view mark, std::string_view text) {
    const auto time = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    out_ << fmt::format("{:8.3f} {} {}\n", time, mark, wsserver::escape_control(text));
}

void Trace::request(std::string_view text) {
    while (!text.empty() && text != "\r\n") {
        const auto end = text.find("\r\n");
        line(">", text.substr(0, end));
        if (end == std::string_view::npos) break;
        text.remove_prefix(end + 2);
    }
    out_ << std::flush;
}

void Trace::response(const wsserver::HttpResponse& response) {
    line("<", fmt::format("HTTP/1.1 {} {}", response.status, wsserver::reason_phrase(response.status)));
    for (const auto& field : response.fields) line("<", fmt::format("{}: {}", field.name, field.value));
    std::string_view body{response.body};
    while (!body.empty()) {
        const auto end = body.find('\n');
        line("<", body.substr(0, end));
        body.remove_prefix(end == std::string_view::npos ? body.size() : end + 1);
    }
    out_ << std::flush;
}

void Trace::on_frame(bool incoming, const wsserver::FrameHeader& header) {
    auto text =
        fmt::format("{}{}{}", name_of(header.opcode), header.fin ? ", FIN" : "", header.masking_key ? ", masked" : "");
    if (header.rsv != 0) text += fmt::format(", RSV {:03b}", header.rsv);
    text += fmt::format(", {} byte{}", header.payload_length, header.payload_length == 1 ? "" : "s");
    line(incoming ? "<" : ">", text);
    out_ << std::flush;
}

}  // namespace wsd::ctl
