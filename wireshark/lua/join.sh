#!/bin/sh
# join.sh HEAD TABLES-PROGRAM BODY: the Lua dissector on standard output.
set -eu
cat "$1"
"$2"
cat "$3"
