#include "wsserver/base/packed_strings.hpp"

#include <string>
#include <string_view>
#include <utility>

#include "support/catch.hpp"

using namespace wsserver;

TEST_CASE("packed strings are read back unchanged", "[packed_strings]") {
    static_assert(sizeof(PackedStrings) == sizeof(void*));
    const std::string long_one(100'000, 'x');
    const PackedStrings texts{"127.0.0.1:54321", "", long_one, "chat", ""};
    CHECK(texts[0] == "127.0.0.1:54321");
    CHECK(texts[1].empty());
    CHECK(texts[2] == long_one);
    CHECK(texts[3] == "chat");
    CHECK(texts[4].empty());
}

TEST_CASE("packed strings may be assigned from views of themselves", "[packed_strings]") {
    PackedStrings texts{"a", "b"};
    texts = {texts[1], "c", texts[0]};
    CHECK(texts[0] == "b");
    CHECK(texts[1] == "c");
    CHECK(texts[2] == "a");
}

TEST_CASE("views of packed strings stay valid after a move", "[packed_strings]") {
    PackedStrings texts{"a", "b"};
    const std::string_view second = texts[1];
    const PackedStrings moved = std::move(texts);
    CHECK(moved[1].data() == second.data());
}

TEST_CASE("a packed string ends before its first zero byte", "[packed_strings]") {
    using namespace std::string_view_literals;
    const PackedStrings texts{"unix:@a\0b"sv, "/"};
    CHECK(texts[0] == "unix:@a");
    CHECK(texts[1] == "/");
}
