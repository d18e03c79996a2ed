# SPDX-License-Identifier: BSD-2-Clause
"""The session that tools/demo shows: firmware in QEMU, debugged through the recording relay.

Works with and without KVM: software emulation is used, since it runs everywhere and boots the
firmware in some seconds.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KDWIRE = os.path.join(TOP, "dist", "linux", "kdwire")
UEFI = os.path.join(TOP, "dist", "uefi")
FIRMWARE = "/usr/share/ovmf/OVMF.fd"
RECORDING = os.path.join(TOP, "build", "demo.pcapng")
START_LIMIT_S = 30
BOOT_LIMIT_S = 120  # the firmware needs 4 to 10 s; a loaded machine may need many times that

COMMANDS = [
    ("What is this machine?", "vertarget"),
    ("Run on: windbg.efi stops once before anything else is started", "g; .wait"),
    ("Run to the sample program: stop when hello.efi is loaded", "sxe ld:hello; g; .wait"),
    ("Some of the images that are loaded", "lm m windbg; lm m hello; lm m D*"),
    ("Set a breakpoint in hello.efi and run to it", "bp hello+{offset:x}; g; .wait"),
    ("Registers, stack and code there", "r; k; db @rip L20"),
    ("Step three times", "t; t; t"),
    ("Memory at the stack pointer", "dq @rsp L4"),
    ("Let it run: its debug text arrives", "bc *; g; .sleep 1500"),
    ("Break in", ".break; r rip"),
]


def say(text):
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


class Processes:
    """Everything started here ends here, whatever happens."""

    def __init__(self):
        self.running = []

    def start(self, *command, **options):
        process = subprocess.Popen(command, **options)
        self.running.append(process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def end_all(self):
        for process in reversed(self.running):
            self.end(process)


def make_boot_folder(folder):
    """What a USB stick or a VM's boot disk would hold."""
    boot = os.path.join(folder, "EFI", "BOOT")
    config = os.path.join(folder, "EFI", "kdwire")
    os.makedirs(boot)
    os.makedirs(config)
    shutil.copy(os.path.join(UEFI, "kdboot.efi"), os.path.join(boot, "BOOTX64.EFI"))
    shutil.copy(os.path.join(UEFI, "windbg.efi"), config)
    shutil.copy(os.path.join(UEFI, "hello.efi"), folder)
    with open(os.path.join(config, "kdboot.conf"), "w", encoding="ascii") as conf:
        conf.write("debugger = \\EFI\\kdwire\\windbg.efi\n"
                   "debugger-options = port=com1 console=grab timeout=60000\n"
                   "next = \\hello.efi\n"
                   "next-options = loop\n")


def wait_for(condition, what):
    until = time.monotonic() + START_LIMIT_S
    while not condition():
        if time.monotonic() > until:
            sys.exit(f"demo: waited {START_LIMIT_S} s in vain for {what}")
        time.sleep(0.05)


def qmp_command(path, name):
    """One QMP command."""
    wait_for(lambda: os.path.exists(path), "QEMU's monitor")
    monitor = socket.socket(socket.AF_UNIX)
    monitor.connect(path)
    with monitor, monitor.makefile("rw") as stream:
        stream.readline()
        for command in ("qmp_capabilities", name):
            stream.write(json.dumps({"execute": command}) + "\n")
            stream.flush()
            while "return" not in (answer := json.loads(stream.readline())):
                pass
    return answer["return"]


def serial_port_of(monitor):
    """The TCP port that QEMU chose for the VM's COM1."""
    for device in qmp_command(monitor, "query-chardev"):
        if device["label"] == "kd":
            return int(device["filename"].split(":")[-1].split(",")[0])
    raise RuntimeError("QEMU does not know its serial port")


def start_machine(processes, folder):
    disk = os.path.join(folder, "disk")
    monitor = os.path.join(folder, "monitor")
    make_boot_folder(disk)
    processes.start(
        "qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-m", "256", "-display", "none",
        "-vga", "none", "-nodefaults", "-nic", "none", "-no-reboot", "-bios", FIRMWARE,
        "-global", "ICH9-LPC.disable_s3=1",
        "-drive", f"if=none,id=boot,format=raw,file=fat:rw:{disk}",
        "-device", "virtio-blk-pci,drive=boot,bootindex=0",
        "-chardev", "socket,id=kd,host=127.0.0.1,port=0,server=on,wait=off,nodelay=on",
        "-serial", "chardev:kd", "-qmp", f"unix:{monitor},server=on,wait=off")
    return serial_port_of(monitor), monitor


def symbol_offset(name):
    """Where a public symbol of hello.efi lies, from the list the linker left beside it."""
    with open(os.path.join(UEFI, "hello.sym"), encoding="ascii") as symbols:
        for line in symbols:
            offset, symbol = line.split()
            if symbol == name:
                return int(offset, 16)
    raise RuntimeError(f"hello.sym names no {name}")


def main():
    for file in (KDWIRE, FIRMWARE, os.path.join(UEFI, "windbg.efi")):
        if not os.path.exists(file):
            sys.exit(f"demo: {file} is missing; run tools/build first")
    processes = Processes()
    folder = tempfile.mkdtemp(prefix="kdwire-demo-")
    started = time.monotonic()
    try:
        say("Boot UEFI firmware in QEMU, COM1 on a TCP port")
        port, monitor = start_machine(processes, folder)
        print(f"COM1 is tcp:127.0.0.1:{port}")

        say("Put the recording relay in front of it")
        if os.path.exists(RECORDING):
            os.remove(RECORDING)
        door = os.path.join(folder, "debugger")
        relay_command = [KDWIRE, "relay", "--debugger", f"unix-listen:{door}",
                         "--target", f"tcp:127.0.0.1:{port}", "--record", RECORDING]
        print(" ".join(relay_command).replace(TOP + "/", ""))
        relay = processes.start(*relay_command)
        wait_for(lambda: os.path.exists(door), "the relay to listen")

        script = []
        for title, commands in COMMANDS:
            script.append(f".echo; .echo == {title}")
            script += commands.format(offset=symbol_offset("hello_tick")).split("; ")
        script_file = os.path.join(folder, "script")
        with open(script_file, "w", encoding="ascii") as file:
            file.write("\n".join(script) + "\nq\n")
        say("Attach")
        result = subprocess.run([KDWIRE, "debug", f"unix:{door}", "--timeout", str(BOOT_LIMIT_S),
                                 "--script", script_file], timeout=BOOT_LIMIT_S * 2, check=False)
        processes.end(relay)
        qmp_command(monitor, "quit")

        say("The session as it was recorded (first and last packets)")
        decoded = subprocess.run([KDWIRE, "decode", RECORDING], capture_output=True, text=True,
                                 check=True).stdout.splitlines()
        print("\n".join(decoded[:12] + [f"… {len(decoded) - 24} more …"] + decoded[-12:]))
        say("And in numbers")
        subprocess.run([KDWIRE, "decode", "--stats", RECORDING], check=True)
    finally:
        processes.end_all()
        shutil.rmtree(folder, ignore_errors=True)
    if result.returncode != 0:
        sys.exit(f"demo: the debugger ended with {result.returncode}; see above")
    print(f"\ndemo: done in {time.monotonic() - started:.0f} s; the recording is "
          f"{os.path.relpath(RECORDING)} (open it in Wireshark, or: kdwire decode -v)")


if __name__ == "__main__":
    main()
