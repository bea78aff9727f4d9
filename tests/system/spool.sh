#!/bin/sh
# usage: spool.sh SPOOL TEXT
# Sends TEXT to all connections of the wsd that serves SPOOL and prints how many there were.
set -eu
spool=$1
text=$2

name=$(date +%s.%N)-$$-sh # commands run in the order of their names; use a name once
printf 'broadcast\n%s' "$text" > "$spool/tmp/$name"
mv "$spool/tmp/$name" "$spool/new/$name" # now wsd executes it, even if it only starts later

# Wait for the answer. Leave this out if you don't need the result.
tries=100
while [ "$tries" -gt 0 ]; do
    if [ -e "$spool/done/$name" ]; then
        sed 1d "$spool/done/$name"
        exit 0
    fi
    if [ -e "$spool/failed/$name" ]; then
        head -n 1 "$spool/failed/$name" >&2
        exit 1
    fi
    sleep 0.1
    tries=$((tries - 1))
done
echo "no answer yet; the command stays in the spool" >&2
exit 7
