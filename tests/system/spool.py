#!/usr/bin/env python3
"""usage: spool.py SPOOL TEXT

Sends TEXT to all connections of the wsd that serves SPOOL and prints how many there were.
"""
import os
import sys
import time
from pathlib import Path


def send_command(spool, words, payload=b''):
    # Commands run in the order of their names. Use a name once.
    name = f'{time.time_ns():020}-{os.getpid()}-py'
    draft = spool / 'tmp' / name
    draft.write_bytes(words.encode() + b'\n' + payload)
    draft.rename(spool / 'new' / name)  # now wsd executes it, even if it only starts later
    return name


def wait_for_answer(spool, name, seconds=10):
    """Leave this out if you don't need the result."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (done := spool / 'done' / name).exists():
            return done.read_bytes().partition(b'\n')[2].decode()
        if (failed := spool / 'failed' / name).exists():
            sys.exit(failed.read_bytes().partition(b'\n')[0].decode())
        time.sleep(0.005)
    sys.exit('no answer yet; the command stays in the spool')


if __name__ == '__main__':
    folder, text = Path(sys.argv[1]), sys.argv[2]
    print(wait_for_answer(folder, send_command(folder, 'broadcast', os.fsencode(text))), end='')
