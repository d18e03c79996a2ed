#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""KDNET: cryptography beside bare libgcrypt, and what a relay between KDNET and a serial link costs.

Runs bench/kdnet.c, which prints one JSON object per line: `ratio` of the datagrams is to be 1.15 or
less, `cost` of the bridge 60 us or less.
"""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BENCH = os.path.join(ROOT, "build/linux/bench/kdnet-bench")
KDWIRE = os.environ.get("KDWIRE", os.path.join(ROOT, "build/linux/src/cli/kdwire"))

if not os.access(BENCH, os.X_OK):
    sys.exit("kdnet_bench: kdnet-bench is not built; run tools/build")
sys.exit(subprocess.run([BENCH, KDWIRE, *sys.argv[1:]]).returncode)
