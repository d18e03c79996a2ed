# SPDX-License-Identifier: BSD-2-Clause
"""Throughput of a VMBus ring beside a plain pair of memcpy (bench/vmbus_ring.c)."""

import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

sys.exit(subprocess.run([os.path.join(TOP, "build", "linux", "bench", "vmbus-ring")], check=False).returncode)
