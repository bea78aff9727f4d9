#!/usr/bin/env python3
"""Checks the prose of the tree for phrases that docs/style.md rules out, and says what to write instead.

usage: phrases.py [--count] SOURCE_ROOT [PATH...]

With PATHs, files or folders below SOURCE_ROOT, only these are checked. --count prints hits per phrase instead.
A phrase is also found across a line break and the comment marker after it. If a rule is wrong about a sentence that
reads well, narrow the rule.
"""

import argparse
import re
import sys
from bisect import bisect_right
from collections import Counter
from pathlib import Path

from words import files

# These quote the phrases, are generated, or keep their wording.
SKIPPED_FILES = {"tests/lint/phrases.py", "docs/style.md", "tests/system/package-lock.json", "LICENSE", "CHANGELOG.md"}

PLACE = r"(?:[a-z]+ ){0,2}(?:proxy|proxies|server|nginx|apache|load balancer|firewall|object|interface)\b"
TEST_NAME = r"(?:TEST_CASE|SECTION|FOR_BOTH_ROLES)\w*\( ?\"?"

# What the phrase is called, how it is found, what to write instead. Upper and lower case are the same, except in
# (?-i:...).
RULES = [
    # Clauses that no native speaker writes.
    ("is no X", r"(?<!there )\b(?:is|are|was|were|be|(?<!there)'s) no (?!(?:longer|more|less|fewer|different)\b)[a-z]+",
     "is not a"),
    ("is none", r"(?<!there )\b(?:is|are|was|were) (?-i:none)\b", "is not one"),
    ("so many", r"(?<!\bnot )\bso (?:many|much|long)\b(?! (?:[a-z]+ ){0,3}(?:that|as)\b)",
     "this many, N bytes, at most N"),
    ("a test named what/who/that", TEST_NAME + r'(?:what|who|whom|whose|that)\b', "the subject of the sentence first"),
    ("though", r"(?<!,)(?<!\beven)(?<!\bas) though\b", "even if, although"),
    ("is to be Xed", r"(?<!there )\b(?:is|are|was|were) to be [a-z]+(?:ed|d|t|n)\b", "must be, will be"),
    ("has come", r"(?<!time )\b(?:has|have|had) come\b(?! (?:back|to|from)\b)", "was received, has arrived"),
    ("Else,", r"(?-i:\bElse\b)", "Otherwise"),
    ("be it, there be", r"\bbe (?:it|they)\b|(?<!let )\bthere be\b", "whether it is, there is"),

    # Words for people.
    ("he, his, him", r"\b(?:he|his|him|himself)\b", "it, its, the caller, the user"),
    ("Who ..., ...", r"(?<!# )(?-i:\bWho )(?![^.!?]*\?)|(?<=[:;] )who\b(?![^.!?]*\?)"
                     r"|\bwho (?:doesn't|isn't|hasn't|didn't)\b",
     "a caller that, a peer that, anyone who"),
    ("whoever, whom", r"\bwho(?:ever|soever|mever)\b|\bwhom\b", "the caller that, the peer that, anyone who"),
    ("nobody", r"""(?<![`'"])(?<!\buser )(?<!\bas )\bnobody\b(?![`'"])""", "no one, no caller, no peer, nothing"),
    ("hears", r"\bhears?\b(?!\(|->|\])", "receives, is notified, is called"),

    # Words of another place or time.
    ("octet", r"\boctets?\b(?!-)", "byte"),
    ("behind", r"(?<!\bleft )(?<!\bleave )(?<!\bleaves )(?<!\bleaving )\bbehind\b(?! " + PLACE + ")", "after"),
    ("beside", r"""(?<!['"|] )(?<!['"])\bbeside\b(?!['"])""", "next to, compared with, in addition to"),
    ("stands", r"\b(?:stands?|stood)\b(?<!\ba stand)(?! (?:in for|for|out|still|by|alone)\b)", "is, is written, is in"),
    ("lies in", r"\b(?:lies?|lay) (?:in|there|here|behind|beside|together|elsewhere|on|at|under|side)\b"
                r"|\b(?:where|what) (?:it |they |that )?(?:lies?|lay)\b", "is in, is at"),
    ("anew", r"\banew\b", "again; reload, reopen, recreate"),
    ("for ever", r"\bfor ever\b", "forever"),
    ("lest", r"\blest\b", "so that ... does not"),
    ("shall", r"(?-i:\bshall\b)", "must, should, will"),
    ("wholly", r"(?<!-)\bwholly\b(?!-)", "completely"),
    ("all else", r"\ball else\b", "everything else"),
    ("for want of", r"\bfor want of\b", "without, for lack of"),
    ("to be had", r"\bto be had\b", "available"),
    ("sees to it", r"\bsees? to (?:it|that)\b", "ensures"),
    ("once in any case", r"\bonce in any case\b", "exactly once"),
    ("one too many", r"\bone too many\b", "over the limit"),
    ("none the worse", r"\bnone the worse\b", "not affected"),
    ("in silence", r"\bin silence\b", "without a reply, ignores"),
    ("without a word", r"\bwithout a word\b", "without a response, without a log line"),
    ("dear", r"\b(?:is|are) dear\b|\bdear:", "expensive"),
    ("it is we", r"\bis (?:we|they|he) (?:who|that)\b", "the subject first"),

    # The project's vocabulary.
    ("order, for command", r"\b(?:an|each|every|give|given|gives|giving|executed|failed|whose) order\b(?! of)"
                           r"|\border's\b|(?<![-\w])orders\b(?! of)(?!['.-])", "command; for io_uring: submission"),
    ("everybody may write", r"\beverybody may write\b", "is world-writable"),
]
PATTERNS = [(name, re.compile(pattern, re.IGNORECASE), say) for name, pattern, say in RULES]

# A line's end, with what makes the next line a comment or continues a string.
BREAK = re.compile(r'[ \t]*"?[ \t]*\n[ \t]*(?://[/!]?<?|\*(?!/)|#(?!#)|")?[ \t]*')


def unwrap(text):
    """The text on one line, and the offset in it at which each line begins."""
    parts, breaks, done, length = [], [0], 0, 0
    for found in BREAK.finditer(text):
        parts += [text[done:found.start()], " "]
        length += found.start() - done + 1
        breaks.append(length)
        done = found.end()
    return "".join(parts) + text[done:], breaks


def find(text):
    """Yields (line, name of the rule, phrase, what to write instead) for each hit."""
    unwrapped, breaks = unwrap(text)
    for name, pattern, say in PATTERNS:
        for found in pattern.finditer(unwrapped):
            yield bisect_right(breaks, found.start()), name, found.group().strip(), say


def chosen(root, paths):
    wanted = [(path if path.exists() else root / path).resolve() for path in paths]
    for path in wanted:
        if not path.exists():
            sys.exit(f"phrases.py: {path} does not exist")
    for file in files(root):
        if file.relative_to(root).as_posix() in SKIPPED_FILES:
            continue
        if not wanted or any(file.is_relative_to(path) for path in wanted):
            yield file


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("root", nargs="?", default=".", type=Path)
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--count", action="store_true")
    args = parser.parse_args()
    root = args.root.resolve()
    checked, counts = 0, Counter({name: 0 for name, _, _ in RULES})
    for file in chosen(root, args.paths):
        try:
            text = file.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue  # a binary sample
        checked += 1
        for line, name, phrase, say in sorted(find(text)):
            counts[name] += 1
            if not args.count:
                print(f"{file.relative_to(root)}:{line}: '{phrase}': say instead: {say}")
    if args.count:
        for name, count in counts.most_common():
            print(f"{count:6}  {name}")
    faults = counts.total()
    print(f"{checked} files, {faults} faults")
    return 1 if faults or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
