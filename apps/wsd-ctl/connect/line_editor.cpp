#include "wsd-ctl/connect/line_editor.hpp"

#include <utility>

namespace wsd::ctl {

namespace {

constexpr std::size_t max_history = 1000;
constexpr char escape = '\x1B';
constexpr std::string_view prompt = "> ";

constexpr char control(char letter) { return static_cast<char>(letter & 0x1F); }

/// UTF-8: not the first byte of a character.
bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

bool is_control_character(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

}  // namespace

std::size_t LineEditor::before(std::size_t at) const {
    if (at == 0) return 0;
    do --at;
    while (at > 0 && is_continuation(line_[at]));
    return at;
}

std::size_t LineEditor::after(std::size_t at) const {
    if (at == line_.size()) return at;
    do ++at;
    while (at < line_.size() && is_continuation(line_[at]));
    return at;
}

std::size_t LineEditor::word_before() const {
    const auto end = line_.find_last_not_of(' ', cursor_ == 0 ? 0 : cursor_ - 1);
    if (cursor_ == 0 || end == std::string::npos) return 0;
    const auto blank = line_.rfind(' ', end);
    return blank == std::string::npos ? 0 : blank + 1;
}

void LineEditor::erase(std::size_t from, std::size_t to) {
    line_.erase(from, to - from);
    cursor_ = from;
}

void LineEditor::type(std::string_view keys, std::size_t columns, std::vector<std::string>& lines,
                      std::string& screen) {
    for (const char key : keys) {
        if (ended_) return;
        if (take_escape(key)) continue;
        if (key == '\n' || key == '\r') {
            screen += show(columns) + '\n';
            enter(lines);
        } else {
            edit(key);
        }
    }
}

/// ECMA-48 §5.4: a control sequence is ESC, `[`, parameters, and a final byte from `@` to `~`. Some terminals send
/// ESC, `O` and a letter.
bool LineEditor::take_escape(char key) {
    if (escape_.empty() && key != escape) return false;
    escape_ += key;
    if (escape_.size() == 1 || (escape_.size() == 2 && (key == '[' || key == 'O'))) return true;
    const bool last = escape_.size() == 2 || (key >= '@' && key <= '~') || escape_.size() > 16;
    if (last) {
        run_escape(key);
        escape_.clear();
    }
    return true;
}

void LineEditor::run_escape(char last) {
    const std::string_view parameter = std::string_view{escape_}.substr(2);
    if (escape_.size() == 2) return;  // Alt and a key
    if (last == 'A' || last == 'B') return move_in_history(last == 'A');
    if (last == 'C') cursor_ = after(cursor_);
    if (last == 'D') cursor_ = before(cursor_);
    if (last == 'H' || parameter == "1~" || parameter == "7~") cursor_ = 0;
    if (last == 'F' || parameter == "4~" || parameter == "8~") cursor_ = line_.size();
    if (parameter == "3~") erase(cursor_, after(cursor_));
}

void LineEditor::edit(char key) {
    switch (key) {
        case 0x7F:
        case control('H'):
            return erase(before(cursor_), cursor_);
        case control('W'):
            return erase(word_before(), cursor_);
        case control('U'):
            return erase(0, cursor_);
        case control('K'):
            line_.resize(cursor_);
            return;
        case control('A'):
            cursor_ = 0;
            return;
        case control('E'):
            cursor_ = line_.size();
            return;
        case control('D'):
            if (line_.empty()) ended_ = true;
            return erase(cursor_, after(cursor_));
        default:
            // A tab may be pasted. Other control characters are keys without a meaning here.
            if (!is_control_character(key) || key == '\t') insert(key);
    }
}

void LineEditor::insert(char key) { line_.insert(cursor_++, 1, key); }

void LineEditor::enter(std::vector<std::string>& lines) {
    if (!line_.empty() && (history_.empty() || history_.back() != line_)) history_.push_back(line_);
    if (history_.size() > max_history) history_.erase(history_.begin());
    in_history_ = history_.size();
    cursor_ = 0;
    lines.push_back(std::exchange(line_, {}));
}

void LineEditor::move_in_history(bool back) {
    if (back ? in_history_ == 0 : in_history_ == history_.size()) return;
    if (in_history_ == history_.size()) new_line_ = line_;
    in_history_ += back ? std::size_t(-1) : 1;
    line_ = in_history_ == history_.size() ? new_line_ : history_[in_history_];
    cursor_ = line_.size();
}

std::string LineEditor::show(std::size_t columns) const {
    const auto space = columns > prompt.size() + 8 ? columns - prompt.size() - 1 : 8;
    std::size_t begin = cursor_;
    std::size_t left = 0;  // characters before the cursor
    for (; begin > 0 && left < space; ++left) begin = before(begin);
    std::size_t end = cursor_;
    for (auto shown = left; end < line_.size() && shown < space; ++shown) end = after(end);
    std::string text{hide()};
    text += prompt;
    for (const char c : std::string_view{line_}.substr(begin, end - begin)) text += is_control_character(c) ? ' ' : c;
    return text + "\r\x1B[" + std::to_string(prompt.size() + left) + 'C';
}

}  // namespace wsd::ctl
