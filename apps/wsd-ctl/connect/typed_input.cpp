#include "wsd-ctl/connect/typed_input.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

namespace wsd::ctl {

namespace {

/// Whether the terminal understands escape sequences.
bool can_move_cursor() {
    const char* const kind = std::getenv("TERM");
    return kind != nullptr && std::string_view{kind} != "dumb" && *kind != '\0';
}

}  // namespace

std::unique_ptr<TypedInput> TypedInput::open(int in) {
    termios before{};
    std::array<char, 256> name{};
    const bool in_background = ::tcgetpgrp(in) != ::getpgrp();  // to change the terminal would stop the process
    if (in_background || !can_move_cursor() || ::tcgetattr(in, &before) != 0 ||
        ::ttyname_r(in, name.data(), name.size()) != 0) {
        return nullptr;
    }
    wsserver::Descriptor screen{::open(name.data(), O_WRONLY | O_NOCTTY | O_CLOEXEC)};
    if (!screen) return nullptr;
    return std::unique_ptr<TypedInput>{new TypedInput{in, std::move(screen), before}};
}

TypedInput::TypedInput(int in, wsserver::Descriptor screen, const termios& before)
    : in_(in), screen_(std::move(screen)), before_(before) {
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | IEXTEN);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(in_, TCSANOW, &raw);
}

TypedInput::~TypedInput() { restore(); }

void TypedInput::restore() {
    const std::lock_guard lock{mutex_};
    if (std::exchange(restored_, true)) return;
    write(LineEditor::hide());
    ::tcsetattr(in_, TCSANOW, &before_);
}

void TypedInput::take(std::string_view bytes, std::vector<std::string>& messages) {
    const std::lock_guard lock{mutex_};
    std::string screen;
    editor_.type(bytes, columns(), messages, screen);
    if (!restored_) write(screen + editor_.show(columns()));
}

void TypedInput::finish(std::vector<std::string>& messages) {
    if (!editor_.line().empty()) messages.push_back(editor_.line());
    restore();
}

void TypedInput::print_above(const std::function<void()>& print) {
    const std::lock_guard lock{mutex_};
    if (restored_) return print();
    write(LineEditor::hide());
    print();
    write(editor_.show(columns()));
}

void TypedInput::write(std::string_view text) const {
    while (!text.empty()) {
        const auto written = ::write(screen_.get(), text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return;  // the terminal is gone, which the reader finds out, too
        text.remove_prefix(static_cast<std::size_t>(written));
    }
}

std::size_t TypedInput::columns() const {
    winsize size{};
    return ::ioctl(screen_.get(), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

int StreamAbove::sync() {
    input_.print_above([this] { to_ << str() << std::flush; });
    str({});
    return to_ ? 0 : -1;
}

}  // namespace wsd::ctl
