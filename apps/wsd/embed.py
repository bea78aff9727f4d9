"""Writes a C++ header that contains a file as a string: embed.py INPUT OUTPUT NAME."""
import sys

PIECE = 4000  # characters; compilers guarantee at most 65536 bytes for one literal, concatenated or not


def literal(text):
    """The text as raw string literals. Their delimiter must not occur in the text."""
    delimiter = 'page'
    while f'){delimiter}"' in text:
        delimiter += '_'
    pieces = [text[at:at + PIECE] for at in range(0, len(text), PIECE)] or ['']
    return [f'R"{delimiter}({piece}){delimiter}"' for piece in pieces]


def main():
    source, target, name = sys.argv[1:]
    with open(source, encoding='utf-8', newline='') as file:
        text = file.read()
    with open(target, 'w', encoding='utf-8', newline='') as file:
        file.write('#pragma once\n\n#include <string_view>\n\nnamespace wsd {\n\n'
                   f'inline constexpr std::string_view {name} =\n    ' + '\n    '.join(literal(text)) + ';\n\n}\n')


main()
