# SPDX-License-Identifier: BSD-2-Clause
"""symbols.py MAP OUT: the public symbols of a lld-link map with base 0, one "OFFSET NAME" (hex) per line."""

import re
import sys

# " 0001:00000000       hello_tick      0000000000001000     hello.c.o"; strings have names with "?".
LINE = re.compile(r"^ [0-9a-f]{4}:[0-9a-f]{8}\s+([A-Za-z_]\w*)\s+([0-9a-f]{16})\s")

with open(sys.argv[1], encoding="ascii") as source, open(sys.argv[2], "w", encoding="ascii") as out:
    for line in source:
        found = LINE.match(line)
        if found:
            out.write(f"{int(found[2], 16):x} {found[1]}\n")
