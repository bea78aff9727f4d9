# What the shell scripts of ./dev share. ./dev starts them in the root of the tree.
# shellcheck shell=bash

say() { printf '%s\n' "dev: $*" >&2; }

die() {
    say "$*"
    exit 1
}
