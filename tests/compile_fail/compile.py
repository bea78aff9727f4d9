#!/usr/bin/env python3
"""Runs a compiler and checks that it fails and prints the expected text.

usage: compile.py EXPECTED COMMAND...    if EXPECTED is empty, the command must succeed
"""

import os
import subprocess
import sys

expected, command = sys.argv[1], sys.argv[2:]
# The language and the quotation marks of compiler messages depend on the locale.
environment = {**os.environ, "LC_ALL": "C"}
done = subprocess.run(command, capture_output=True, text=True, env=environment)
output = done.stdout + done.stderr
if not expected:
    sys.exit(f"must compile, but the compiler failed:\n{output}" if done.returncode else 0)
if done.returncode == 0:
    sys.exit("must not compile, but the compiler succeeded")
if expected not in output:
    sys.exit(f"the compiler failed without printing {expected!r}:\n{output}")
