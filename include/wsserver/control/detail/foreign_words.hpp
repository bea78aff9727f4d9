// Words that other programs have for what a command does.
#pragma once

#include <string_view>

namespace wsserver {

/// What to type instead of `word`, as the end of an error: "`list` shows all connections". Empty if the word is not
/// known. The result is valid until the program ends.
std::string_view hint_for_foreign_word(std::string_view word) noexcept;

}  // namespace wsserver
