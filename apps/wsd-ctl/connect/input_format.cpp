#include "wsd-ctl/connect/input_format.hpp"

#include <utility>

namespace wsd::ctl {

bool CutLines::take(std::string_view bytes) {
    constexpr std::size_t most = 4095;
    bool cut = false;
    for (const char byte : bytes) {
        length_ = byte == '\n' ? 0 : length_ + 1;
        cut = cut || length_ == most;
    }
    return cut;
}

void DelimitedInput::take(std::string_view bytes, std::vector<std::string>& messages) {
    for (std::size_t end; (end = bytes.find(delimiter_)) != std::string_view::npos; bytes.remove_prefix(end + 1)) {
        rest_ += bytes.substr(0, end);
        messages.push_back(std::exchange(rest_, {}));
    }
    rest_ += bytes;
}

void DelimitedInput::finish(std::vector<std::string>& messages) {
    if (!rest_.empty()) messages.push_back(std::exchange(rest_, {}));
}

void WholeInput::finish(std::vector<std::string>& messages) {
    if (!whole_.empty()) messages.push_back(std::exchange(whole_, {}));
}

}  // namespace wsd::ctl
