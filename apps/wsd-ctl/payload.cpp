#include "wsd-ctl/payload.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "wsserver/base/descriptor.hpp"

namespace wsd::ctl {

using wsserver::Result;
using wsserver::Unexpected;

namespace {

Result<std::string, std::string> read_all(int file, const std::string& name) {
    std::string text;
    std::array<char, 64 * 1024> buffer;
    for (;;) {
        const auto got = ::read(file, buffer.data(), buffer.size());
        if (got == 0) return text;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return Unexpected{fmt::format("{} cannot be read: {}", name, std::strerror(errno))};
        text.append(buffer.data(), static_cast<std::size_t>(got));
    }
}

}  // namespace

Result<std::string, std::string> read_payload(const std::string& path, int in) {
    if (path == "-") return read_all(in, "standard input");
    const wsserver::Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!file) return Unexpected{fmt::format("{} cannot be read: {}", path, std::strerror(errno))};
    return read_all(file.get(), path);
}

Result<std::string, std::string> payload_of(const wsserver::Invocation& line, int in) {
    const auto& first = line.rest.front();
    const bool is_name = !line.literal && line.rest.size() == 1;
    if (is_name && first == "-") return read_payload(first, in);
    if (!is_name || !first.starts_with('@')) return line.text();
    auto payload = read_payload(first.substr(1), in);
    if (!payload) return Unexpected{payload.error() + "; put `--` before a text that begins with @"};
    return payload;
}

}  // namespace wsd::ctl
