# SPDX-License-Identifier: BSD-2-Clause
"""Windows programs under Wine, in the prefix that tools/kdwire-wine makes in build/wine.

Use the `wine` fixture of conftest.py: it skips where there is no Wine, and leaves no process.
"""
import os
import pathlib
import shutil
import signal
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUN = str(ROOT / "tools/kdwire-wine")
PREFIX = pathlib.Path(os.environ.get("WINEPREFIX", ROOT / "build/wine"))
FIRST_RUN = 300  # seconds; a new prefix takes 20 to 40 s on a quiet machine
LIMIT = 180      # seconds until a program that should have ended is given up
COM_FIRST = 40   # Wine gives COM1 up to about COM32 to this machine's own serial ports


def is_installed():
    return shutil.which("wine") is not None


def windows_path(path):
    """How a Windows program names a file of this machine: Wine's drive Z: is the root."""
    return "Z:" + str(pathlib.Path(path).absolute()).replace("/", "\\")


class Wine:
    def __init__(self):
        self.started = []
        self.ports = []
        self.run("cmd.exe", "/c", "exit", limit=FIRST_RUN, check=True)
        # Wine starts and ends with its first and last program, which takes seconds: one stays. It must be
        # up before others start: Wine's services inherit the output of the program that starts them, and
        # whoever waits for the end of that output would wait for theirs.
        self.keeper = subprocess.Popen(self.command("cmd.exe"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL)
        self.keeper.stdin.write(b"echo up\r\n")
        self.keeper.stdin.flush()
        while not self.keeper.stdout.readline().rstrip().endswith(b"up"):
            assert self.keeper.poll() is None, "Wine's cmd.exe has ended"

    def command(self, program, *arguments):
        return [RUN, str(program), *map(str, arguments)]

    def run(self, program, *arguments, limit=LIMIT, **options):
        """Runs a program to its end; as subprocess.run, with the output as bytes."""
        options.setdefault("capture_output", "stdout" not in options and "stderr" not in options)
        options.setdefault("stdin", subprocess.DEVNULL if "input" not in options else None)
        if "input" in options:
            del options["stdin"]
        return subprocess.run(self.command(program, *arguments), timeout=limit, check=options.pop("check", False),
                              **options)

    def start(self, program, *arguments, **options):
        """Starts a program; it is ended with the fixture at the latest."""
        process = subprocess.Popen(self.command(program, *arguments), **options)
        self.started.append(process)
        return process

    def com_port(self, device):
        """Makes a COM port of a serial device (a pty's path); returns its name, for example
        COM40. The device may appear later."""
        folder = PREFIX / "dosdevices"
        for number in range(COM_FIRST, 200):
            link = folder / f"com{number}"
            try:
                os.symlink(device, link)
            except FileExistsError:
                continue
            self.ports.append(link)
            return f"COM{number}"
        raise RuntimeError("no COM port is free")

    def remove_com_ports(self):
        for link in self.ports:
            link.unlink(missing_ok=True)
        self.ports.clear()

    def end_started(self):
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait(LIMIT)
        self.started.clear()
        self.remove_com_ports()

    def close(self):
        self.end_started()
        self.keeper.stdin.close()
        subprocess.run(["wineserver", "-k"], env={**os.environ, "WINEPREFIX": str(PREFIX)},
                       timeout=LIMIT, check=False)
        self.keeper.wait(LIMIT)
        self.keeper.stdout.close()
