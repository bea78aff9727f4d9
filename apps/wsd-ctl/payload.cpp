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

Result<std::string, std::string> read_file(const std::string& path) {
    const wsserver::Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!file) {
        return Unexpected{fmt::format("{} cannot be read: {}; put `--` before a text that begins with @", path,
                                      std::strerror(errno))};
    }
    return read_all(file.get(), path);
}

}  // namespace

Result<std::string, std::string> payload_of(const wsserver::Invocation& line, int in) {
    const auto& first = line.rest.front();
    if (!line.literal && line.rest.size() == 1) {
        if (first == "-") return read_all(in, "standard input");
        if (first.starts_with('@')) return read_file(first.substr(1));
    }
    return line.text();
}

}  // namespace wsd::ctl
