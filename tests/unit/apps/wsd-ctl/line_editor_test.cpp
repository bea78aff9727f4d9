#include "wsd-ctl/connect/line_editor.hpp"

#include "support/catch.hpp"
#include "support/strings.hpp"
#include "wsd-ctl/connect/input_format.hpp"

using namespace wsserver::test;
using wsd::ctl::CutLines;
using wsd::ctl::DelimitedInput;
using wsd::ctl::LineEditor;
using wsd::ctl::WholeInput;
namespace {

constexpr const char* up = "\x1B[A";
constexpr const char* down = "\x1B[B";
constexpr const char* right = "\x1BOC";
constexpr const char* left = "\x1B[D";

struct Typed {
    LineEditor editor{};
    Strings lines{};
    std::string screen{};

    Typed& type(std::string_view keys) {
        editor.type(keys, 80, lines, screen);
        return *this;
    }
};

/// The line that these keys leave.
std::string line_of(const std::string& keys) {
    Typed whole, cut;
    whole.type(keys);
    for (const char key : keys) cut.type({&key, 1});
    CHECK(whole.editor.line() == cut.editor.line());
    return whole.editor.line();
}

}  // namespace

TEST_CASE("enter finishes a line", "[line-editor]") {
    CHECK(Typed{}.type("one\ntwo\r\n").lines == Strings{"one", "two", ""});
    const std::string longest(300'000, 'x');
    CHECK(Typed{}.type(longest + '\n').lines == Strings{longest});
}

TEST_CASE("keys edit the line", "[line-editor]") {
    CHECK(line_of("abc\x7F\b") == "a");
    CHECK(line_of("\x7F"
                  "a") == "a");
    CHECK(line_of("zw\xC3\xB6\x7F") == "zw");
    CHECK(line_of("one two  \x17") == "one ");
    CHECK(line_of("one\x17\x17x") == "x");
    CHECK(line_of("one two\x15"
                  "3") == "3");
    CHECK(line_of(std::string{"ac"} + left + "b") == "abc");
    CHECK(line_of(std::string{"zw\xC3\xB6"} + left + left + "A" + right + "B") == "zAwB\xC3\xB6");
    CHECK(line_of(std::string{"bc\x01"
                              "a\x05"
                              "d"}) == "abcd");
    CHECK(line_of("bc\x1B[Ha\x1B[Fd") == "abcd");
    CHECK(line_of("bc\x1B[1~a\x1B[4~d") == "abcd");
    CHECK(line_of(std::string{"abcd"} + left + left + "\x0B") == "ab");
    CHECK(line_of(std::string{"abc"} + left + left + "\x1B[3~") == "ac");
    CHECK(line_of(std::string{"abc"} + left + "\x04") == "ab");
    CHECK(line_of("a\tb") == "a\tb");
}

TEST_CASE("keys without a meaning leave no trace", "[line-editor]") {
    CHECK(line_of("a\x1B[15~\x1Bx\x1B[1;5Q\x02\x07z") == "az");
}

TEST_CASE("up and down bring back earlier lines", "[line-editor]") {
    Typed typed;
    typed.type("first\nsecond\nsecond\nnew");
    CHECK(typed.type(up).editor.line() == "second");
    CHECK(typed.type(up).editor.line() == "first");
    CHECK(typed.type(up).editor.line() == "first");
    CHECK(typed.type(down).type(down).editor.line() == "new");
    CHECK(typed.type(down).editor.line() == "new");
    CHECK(typed.type(up).type(" more\n").lines.back() == "second more");
    CHECK(typed.editor.line().empty());
}

TEST_CASE("Ctrl-D ends the input on an empty line only", "[line-editor]") {
    Typed typed;
    CHECK_FALSE(typed.type("a\x04").editor.ended());
    CHECK(typed.type("\n\x04ignored").editor.ended());
    CHECK(typed.lines == Strings{"a"});
    CHECK(typed.editor.line().empty());
}

TEST_CASE("the line is shown in one row, around the cursor", "[line-editor]") {
    Typed typed;
    typed.type("abc");
    CHECK(typed.editor.show(80) == "\r\x1B[K> abc\r\x1B[5C");
    CHECK(typed.type(left).editor.show(80) == "\r\x1B[K> abc\r\x1B[4C");
    typed.type(
        "\x05"
        "defghijklmnopqrstuvwxyz");
    CHECK(typed.editor.show(13) == "\r\x1B[K> qrstuvwxyz\r\x1B[12C");
    CHECK(typed.type("\x01").editor.show(13) == "\r\x1B[K> abcdefghij\r\x1B[2C");
    CHECK(Typed{}.type("a\tb").editor.show(80) == "\r\x1B[K> a b\r\x1B[5C");
    CHECK(Typed{}.type("hi\n").screen == "\r\x1B[K> hi\r\x1B[4C\n");
}

TEST_CASE("a delimiter ends a message, and the end of the input the last one", "[input-format]") {
    Strings messages;
    DelimitedInput input{';'};
    for (const char* part : {"a;b", "c;;d", "\n"}) input.take(part, messages);
    CHECK(messages == Strings{"a", "bc", ""});
    CHECK(input.pending() == 2);
    input.finish(messages);
    CHECK(messages.back() == "d\n");
    input.finish(messages);
    CHECK(messages.size() == 4);
}

TEST_CASE("a line of a terminal that has all bytes that fit may have been cut", "[input-format]") {
    const std::string fits(4094, 'x'), full(4095, 'x');
    CutLines lines;
    CHECK_FALSE(lines.take(fits + '\n' + fits));
    CHECK(lines.take("x"));
    CHECK_FALSE(lines.take("\n"));
    CHECK(lines.take("short\n" + full + "\nshort\n"));
    CHECK_FALSE(lines.take(fits + '\n'));
}

TEST_CASE("a whole input is one message, and an empty one has no message", "[input-format]") {
    Strings messages;
    WholeInput empty, input;
    empty.finish(messages);
    CHECK(messages.empty());
    for (const char* part : {"a\n", "b\n"}) input.take(part, messages);
    CHECK(messages.empty());
    input.finish(messages);
    CHECK(messages == Strings{"a\nb\n"});
}
