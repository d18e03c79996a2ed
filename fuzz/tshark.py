# SPDX-License-Identifier: BSD-2-Clause
"""fuzz/tshark.py [SECONDS [SEED]]: mutated captures through tshark with the plugin: records, pieces of
streams, UDP, TCP; text, JSON, two passes, taps. A finding keeps its capture and ends the run."""
import itertools
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/system"))
from wireshark_run import (CAPTURES, MUTATED, MUTATED_OPTIONS, OWN_CAPTURES, Tshark,  # noqa: E402
                           open_folder, real_packets, recorded_packets)

WAYS = [[], ["-V"], ["-2", "-V"], ["-T", "json"], ["-2", "-T", "json"], ["-q", "-z", "kd,stats"],
        ["-2", "-R", "kd.reply_in || kd.junk"], ["-q", "-z", "follow,kd,ascii,0"]]
TIMEOUT = 300  # s for one run: a loop without end, not a slow machine
FRAMES = 1000


def finding(tshark, path, way):
    try:
        done = subprocess.run(tshark.command("-r", path, *way, *MUTATED_OPTIONS), timeout=TIMEOUT,
                              capture_output=True, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        return "no end"
    if done.returncode != 0:
        return f"exit code {done.returncode}: {done.stderr[-500:]}"
    return next((word for word in ("Malformed", "Dissector bug", "DISSECTOR_ASSERT")
                 if word in done.stdout), None)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()
    packets = (real_packets() if (CAPTURES / "windows-kdnet").is_dir() else
               recorded_packets(OWN_CAPTURES / "session.pcapng"))
    chance, end, runs = random.Random(seed), time.monotonic() + seconds, 0
    with open_folder() as folder:
        home = folder / "home"
        home.mkdir()
        tshark = Tshark(home)
        for make, way in zip(itertools.cycle(MUTATED), itertools.chain.from_iterable(
                itertools.repeat(WAYS))):
            path = make(folder / "mutated.pcapng", packets, FRAMES, chance)
            found = finding(tshark, path, way)
            runs += 1
            if found:
                kept = pathlib.Path(tempfile.mkstemp(suffix=".pcapng")[1])
                shutil.copy(path, kept)
                sys.exit(f"fuzz/tshark: {found}; tshark {' '.join(way)} of {kept} (seed {seed})")
            if time.monotonic() > end:
                break
    print(f"fuzz/tshark: no finding in {runs} runs of {FRAMES} frames, {seconds:.0f} s, seed {seed}")


main()
