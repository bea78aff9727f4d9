// A line that is being typed on a terminal: its characters, the cursor, and the lines before it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace wsd::ctl {

/// Understands the keys that a terminal sends. Does no input or output itself, so a test needs no terminal.
///
/// Backspace, Ctrl-W and Ctrl-U remove a character, a word and all before the cursor; Delete and Ctrl-K remove after
/// it. The arrows, Home, End, Ctrl-A and Ctrl-E move the cursor; up and down bring back earlier lines. Ctrl-D on an
/// empty line ends the input.
class LineEditor {
   public:
    /// Takes the bytes of keys, cut anywhere, and appends finished lines. Appends to `screen` what shows these lines
    /// on a terminal of that many columns.
    void type(std::string_view keys, std::size_t columns, std::vector<std::string>& lines, std::string& screen);

    /// What shows the prompt and the line, in one row of the terminal: the part around the cursor if it is long.
    std::string show(std::size_t columns) const;
    /// What removes them.
    static std::string_view hide() { return "\r\x1B[K"; }

    const std::string& line() const noexcept { return line_; }
    /// After Ctrl-D on an empty line.
    bool ended() const noexcept { return ended_; }

   private:
    bool take_escape(char key);
    void run_escape(char last);
    void edit(char key);
    void insert(char key);
    void enter(std::vector<std::string>& lines);
    void move_in_history(bool back);
    void erase(std::size_t from, std::size_t to);
    std::size_t before(std::size_t at) const;
    std::size_t after(std::size_t at) const;
    std::size_t word_before() const;

    std::string line_{};
    std::size_t cursor_ = 0;  ///< in bytes
    std::string escape_{};    ///< the beginning of an escape sequence
    std::vector<std::string> history_{};
    std::size_t in_history_ = 0;  ///< the line of the history that is shown; its size: the new line
    std::string new_line_{};      ///< while a line of the history is shown
    bool ended_ = false;
};

}  // namespace wsd::ctl
