#!/bin/sh
# usage: spool.sh SPOOL TEXT
# Sends TEXT to all connections of the wsd that has this spool, and prints how many these were.
set -eu
spool=$1
text=$2

name=$(date +%s.%N)-$$-sh # orders are executed in the order of their names; a name is used once
printf 'broadcast\n%s' "$text" > "$spool/tmp/$name"
mv "$spool/tmp/$name" "$spool/new/$name" # from here on it is an order, though no wsd may run

# Who wants to know what became of it waits for the answer.
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
echo "no answer yet; the order stays" >&2
exit 7
