#!/usr/bin/env python3
"""Runs a compiler and checks that it refuses, with the expected words among its own.

usage: compile.py EXPECTED COMMAND...    an empty EXPECTED: the command must succeed
"""

import os
import subprocess
import sys

expected, command = sys.argv[1], sys.argv[2:]
# Compilers quote and speak in the user's language, and break lines to his width.
environment = {**os.environ, "LC_ALL": "C"}
done = subprocess.run(command, capture_output=True, text=True, env=environment)
said = done.stdout + done.stderr
if not expected:
    sys.exit(f"should compile, but:\n{said}" if done.returncode else 0)
if done.returncode == 0:
    sys.exit("compiled, though it must not")
if expected not in said:
    sys.exit(f"refused, but without the words {expected!r}:\n{said}")
