#!/usr/bin/env python3
"""usage: spool.py SPOOL TEXT

Sends TEXT to all connections of the wsd that has this spool, and prints how many these were.
"""
import os
import sys
import time
from pathlib import Path


def give_order(spool, words, payload=b''):
    # Orders are executed in the order of their names; a name is used once.
    name = f'{time.time_ns():020}-{os.getpid()}-py'
    draft = spool / 'tmp' / name
    draft.write_bytes(words.encode() + b'\n' + payload)
    draft.rename(spool / 'new' / name)  # from here on it is an order, though no wsd may run
    return name


def wait_for_answer(spool, name, seconds=10):
    """Who wants to know what became of it waits for the answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (done := spool / 'done' / name).exists():
            return done.read_bytes().partition(b'\n')[2].decode()
        if (failed := spool / 'failed' / name).exists():
            sys.exit(failed.read_bytes().partition(b'\n')[0].decode())
        time.sleep(0.005)
    sys.exit('no answer yet; the order stays')


if __name__ == '__main__':
    folder, text = Path(sys.argv[1]), sys.argv[2]
    print(wait_for_answer(folder, give_order(folder, 'broadcast', os.fsencode(text))), end='')
