#!/bin/sh
# Keeps the newest exports, by the date they are named after, and removes the others.
set -eu

keep="${KEEP:-30}"
cd "$(dirname "$0")/../exports"

ls -1d [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] | sort -r | tail -n "+$((keep + 1))" |
while read -r day; do
    echo "removing exports/$day"
    rm -r "$day"
done
echo "kept the newest $keep exports"
