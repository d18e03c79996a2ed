# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of endpoint, how it comes and goes, and what it says when it cannot."""
import ctypes
import fcntl
import os
import pathlib
import pty
import re
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import tty

import pytest
from relay_ends import (KDWIRE, PATIENCE, Relay, listening, packet, read, read_all, reset,
                        wait_until)


def exchange(debugger, target):
    """Both ways; DEBUGGER and TARGET are sockets."""
    debugger.sendall(b"question")
    assert read(target, 8) == b"question"
    target.sendall(b"answer")
    assert read(debugger, 6) == b"answer"


def read_fd(fd, size):
    got = b""
    end = time.monotonic() + PATIENCE
    while len(got) < size:
        assert select.select([fd], [], [], end - time.monotonic())[0], f"only {got!r} came"
        got += os.read(fd, size - len(got))
    return got


# ---- tcp ----

def test_tcp_both_directions_of_connecting_and_ipv6():
    end = listening(socket.AF_INET6, ("::1", 0))
    with Relay("tcp-listen:[::1]:0", f"tcp:[::1]:{end.getsockname()[1]}") as relay:
        target, _ = end.accept()
        target.settimeout(PATIENCE)
        assert relay.wait("up", "target")["text"].startswith("[::1]:")
        exchange(relay.connect("debugger", host="::1"), target)


def test_tcp_name_is_resolved_and_every_address_tried():
    end = listening()  # localhost may be ::1 first, where nobody listens
    with Relay("tcp-listen:0", f"tcp:localhost:{end.getsockname()[1]}") as relay:
        target, _ = end.accept()
        target.settimeout(PATIENCE)
        exchange(relay.connect("debugger"), target)


def test_tcp_peer_that_does_not_listen_yet_is_waited_for():
    end = listening()
    port = end.getsockname()[1]
    end.close()
    with Relay("tcp-listen:0", f"tcp:127.0.0.1:{port},retry=1") as relay:
        assert "nobody listens there yet" in relay.wait("retrying", "target")["text"]
        end = listening(address=("127.0.0.1", port))
        target, _ = end.accept()
        target.settimeout(PATIENCE)
        exchange(relay.connect("debugger"), target)
        for number in range(3):  # it vanishes and returns
            target.close()
            relay.wait("down", "target", number + 1)
            target, _ = end.accept()
            target.settimeout(PATIENCE)
        relay.wait("up", "target", 4)
        assert relay.count("retrying", "target") == 1, "said once, not at each attempt"


def test_target_that_hangs_up_at_once_is_told_about_three_times_and_then_when_it_stays():
    end = listening()
    where = f"tcp:127.0.0.1:{end.getsockname()[1]},retry=1"
    with Relay("tcp-listen:0", where) as relay:
        for _ in range(6):
            end.accept()[0].close()
        text = relay.wait("warning", "target")["text"]
        assert where in text and "connections end at once" in text and "wrong address?" in text
        target, _ = end.accept()
        target.settimeout(PATIENCE)
        relay.wait("up", "target", 4)  # it stays
        assert (relay.count("up", "target"), relay.count("down", "target")) == (4, 3)
        exchange(relay.connect("debugger"), target)
        target.close()
        relay.wait("down", "target", 4)
        target, _ = end.accept()
        relay.wait("up", "target", 5)  # told at once again
        assert relay.stop() == 0
        assert relay.summary()["target"]["connections"] == 8, "all of them count"


def test_tcp_one_attempt_only():
    end = listening()
    port = end.getsockname()[1]
    end.close()
    with Relay("tcp-listen:0", f"tcp:127.0.0.1:{port},retry=0") as relay:
        assert relay.finish() == 1
    assert "nobody listens" in relay.wait("ended", "target")["text"]


def test_unknown_host_is_said_once():
    with Relay("tcp-listen:0", "tcp:no-such-host.invalid:4555") as relay:
        text = relay.wait("retrying", "target")["text"]
    assert "no-such-host.invalid" in text


def test_port_in_use():
    end = listening()
    where = f"tcp-listen:{end.getsockname()[1]}"
    with Relay(where, "tcp-listen:0") as relay:
        assert relay.finish() == 1
    assert b"already in use by another program; end that one or choose another port" in relay.errors


def test_listeners_are_for_this_machine_unless_told_otherwise():
    with Relay("tcp-listen:0", "tcp-listen:0.0.0.0:0") as relay:
        assert "127.0.0.1" in relay.wait("listening", "debugger")["text"]
        relay.wait("listening", "target")
        relay.wait_error("full control of the target")


@pytest.mark.parametrize("where,text", [
    ("tcp-listen:300.1.1.1:7001", "'300.1.1.1' is no address; write one of this machine's"),
    ("pty:/no-such-folder/com1", "choose a path in a folder that exists"),
])
def test_ends_that_cannot_be_opened_say_what_to_do(where, text):
    with Relay(where, "tcp-listen:0") as relay:
        assert relay.finish() == 1
    assert text.encode() in relay.errors and len(relay.errors.splitlines()) == 1


def test_address_of_another_machine():
    with Relay("tcp-listen:192.0.2.1:0", "tcp-listen:0") as relay:
        assert relay.finish() == 1
    assert b"is no address of this machine" in relay.errors


# ---- a second debugger, and dead ones ----

def test_second_debugger_is_refused_and_told_about_and_hears_nothing():
    with Relay("tcp-listen:0", "tcp-listen:0") as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        second = socket.create_connection(("127.0.0.1", relay.port("debugger")), PATIENCE)
        second.sendall(b"let me in")
        assert read_all(second) == b""
        text = relay.wait("refused", "debugger")["text"]
        assert f"127.0.0.1:{debugger.getsockname()[1]} is connected" in text
        exchange(debugger, target)


def test_newest_debugger_takes_over_where_that_is_wanted():
    with Relay("tcp-listen:0,replace=newest", "tcp-listen:0") as relay:
        first, target = relay.connect("debugger"), relay.connect("target")
        second = relay.connect("debugger")
        assert read_all(first) == b""
        relay.wait("replaced", "debugger")
        exchange(second, target)


def test_debugger_that_reads_no_more_gives_way():
    with Relay("tcp-listen:0", "tcp-listen:0") as relay:
        first, target = relay.connect("debugger"), relay.connect("target")
        threading.Thread(target=flood, args=(target,), daemon=True).start()
        wait_until(lambda: is_stuck(target), "the relay's queue is full")
        end = time.monotonic() + PATIENCE
        while relay.count("replaced", "debugger") == 0:
            assert time.monotonic() < end
            second = socket.create_connection(("127.0.0.1", relay.port("debugger")), PATIENCE)
            second.settimeout(PATIENCE)
            if second.recv(1):
                break
        assert "reads nothing any more" in relay.wait("replaced", "debugger")["text"]
        reset(target)
        first.close()


def flood(end):
    try:
        while True:
            end.sendall(bytes(65536))
    except OSError:
        pass


def is_stuck(end):
    """No byte leaves: asked twice, so that a pause of the reader is not taken for it."""
    def queued():
        return struct.unpack("i", fcntl.ioctl(end.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
    before = queued()
    time.sleep(0.1)
    return before > 0 and queued() == before


CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SILENT = "10.99.0.1"
SECOND = "10.99.0.2"


def ioctl_address(end, request, name, address):
    packed = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address))
    fcntl.ioctl(end, request, packed)


def set_flags(end, name):
    fcntl.ioctl(end, 0x8914, struct.pack("16sH14x", name, 0x41))  # SIOCSIFFLAGS, up and running


def half_open_scenario(ending):
    """Runs in a network of its own: a debugger at an address that then ceases to exist."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        ioctl_address(end, 0x8916, b"lo", "127.0.0.1")  # SIOCSIFADDR
        set_flags(end, b"lo")
        ioctl_address(end, 0x8916, b"lo:1", SILENT)
        ioctl_address(end, 0x8916, b"lo:2", SECOND)
        with Relay("tcp-listen:*:0,keepalive=1" if ending == "alone" else "tcp-listen:*:0",
                   "tcp-listen:0") as relay:
            first = socket.create_connection((SECOND, relay.port("debugger")), PATIENCE,
                                             (SILENT, 0))
            relay.wait("up", "debugger")
            target = relay.connect("target")
            exchange(first, target)
            fcntl.ioctl(end, 0x8914, struct.pack("16sH14x", b"lo:1", 0))  # the address is gone
            if ending == "alone":
                relay.wait("down", "debugger")
            second = socket.create_connection(("127.0.0.1", relay.port("debugger")), PATIENCE)
            second.settimeout(PATIENCE)
            relay.wait("up", "debugger", 2)
            assert ending == "alone" or relay.count("replaced", "debugger") == 1
            exchange(second, target)


@pytest.mark.parametrize("ending", ["alone", "second-debugger"])
def test_half_open_debugger_is_noticed(ending):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(CLONE_NEWNET) and libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
                code = 77
            else:
                half_open_scenario(ending)
                code = 0
        except BaseException as problem:  # the parent must not run twice
            print(repr(problem), file=sys.stderr)
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 77:
        pytest.skip("this system allows no network namespace")
    assert code == 0


# ---- unix ----

def unix_socket(path):
    end = socket.socket(socket.AF_UNIX)
    end.settimeout(PATIENCE)
    end.connect(str(path))
    return end


def test_unix_both_directions_of_connecting(tmp_path):
    path, own = tmp_path / "qemu.sock", tmp_path / "relay.sock"
    end = listening(socket.AF_UNIX, str(path))
    with Relay(f"unix-listen:{own}", f"unix:{path}") as relay:
        target, _ = end.accept()
        target.settimeout(PATIENCE)
        debugger = unix_socket(own)
        relay.wait("up", "debugger")
        exchange(debugger, target)
        assert own.stat().st_mode & 0o777 == 0o600, "a KD port is not for everybody"
        assert f"process {os.getpid()}" in relay.wait("up", "debugger")["text"]
    assert not own.exists(), "our socket file is removed at the end"


def test_unix_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path):
    path = tmp_path / "relay.sock"
    with Relay(f"unix-listen:{path}", "tcp-listen:0") as relay:
        relay.wait("listening", "target")
        relay.process.kill()
        relay.finish()
    assert path.exists()
    with Relay(f"unix-listen:{path},mode=660", "tcp-listen:0") as relay:
        relay.wait("listening", "target")
        assert path.stat().st_mode & 0o777 == 0o660
        with Relay(f"unix-listen:{path}", "tcp-listen:0") as second:
            assert second.finish() == 1
        assert b"already in use by another program" in second.errors
        unix_socket(path)
        relay.wait("up", "debugger")


def test_unix_path_that_is_a_file_is_left_alone(tmp_path):
    path = tmp_path / "letter"
    path.write_text("dear")
    with Relay(f"unix-listen:{path}", "tcp-listen:0") as relay:
        assert relay.finish() == 1
    assert path.read_text() == "dear"


def test_unix_folder_does_not_exist(tmp_path):
    with Relay(f"unix-listen:{tmp_path}/no/a.sock", "tcp-listen:0") as relay:
        assert relay.finish() == 1
    assert b"its folder does not exist; make it, or choose another path" in relay.errors


# ---- pty, serial ----

def open_pty(path):
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    return fd


def test_pty_link_is_stable_and_survives_the_other_side(tmp_path):
    link = tmp_path / "com1"
    with Relay(f"pty:{link}", "tcp-listen:0") as relay:
        target = relay.connect("target")
        device = os.readlink(link)
        for number in range(5):
            fd = open_pty(link)
            relay.wait("up", "debugger", number + 1)
            os.write(fd, b"\x03\x04\r\n\x00raw")  # a cooked terminal would eat some of these
            assert read(target, 8) == b"\x03\x04\r\n\x00raw"
            target.sendall(bytes(range(256)))
            assert read_fd(fd, 256) == bytes(range(256))
            target.sendall(b"never read")
            os.close(fd)
            relay.wait("down", "debugger", number + 1)
            target.sendall(b"while nobody is there")
            wait_until(lambda: relay.events[-1].get("total") == 21 * (number + 1), "the drop")
            assert os.readlink(link) == device
        fd = open_pty(link)
        relay.wait("up", "debugger", 6)
        target.sendall(b"fresh")
        assert read_fd(fd, 5) == b"fresh", "nothing old is read by a newcomer"
        os.close(fd)
        relay.stop()
    assert not os.path.lexists(link)


def test_pty_bytes_written_at_once_and_closed_arrive(tmp_path):
    link = tmp_path / "com1"
    with Relay(f"pty:{link}", "tcp-listen:0") as relay:
        target = relay.connect("target")
        fd = open_pty(link)
        os.write(fd, b"short visit")
        os.close(fd)
        assert read(target, 11) == b"short visit"


def test_pty_replaces_a_link_of_an_earlier_run_but_no_file(tmp_path):
    link = tmp_path / "com1"
    with Relay(f"pty:{link}", "tcp-listen:0") as relay:
        relay.wait("listening", "target")
        relay.process.kill()
        relay.finish()
    assert os.path.islink(link)
    with Relay(f"pty:{link}", "tcp-listen:0") as relay:
        relay.wait("listening", "target")
        relay.stop()
    link.write_text("a file")
    with Relay(f"pty:{link}", "tcp-listen:0") as relay:
        assert relay.finish() == 1
    assert b"something else is there already" in relay.errors
    assert link.read_text() == "a file"


def test_pty_carries_bulk_both_ways(tmp_path):
    link = tmp_path / "com1"
    data = bytes(range(256)) * 4096
    with Relay(f"pty:{link}", "tcp-listen:0") as relay:
        target = relay.connect("target")
        fd = open_pty(link)
        relay.wait("up", "debugger")
        sender = threading.Thread(target=target.sendall, args=(data,), daemon=True)
        sender.start()
        assert read_fd(fd, len(data)) == data
        sender.join(PATIENCE)
        got = []
        reader = threading.Thread(target=lambda: got.append(read(target, len(data))))
        reader.start()
        at = 0
        while at < len(data):
            at += os.write(fd, data[at:at + 4096])
        reader.join(PATIENCE)
        assert got[0] == data
        os.close(fd)


def test_serial_line_and_its_settings():
    """The other side of a pty stands for a serial port: it has the same settings."""
    master, slave = pty.openpty()
    tty.setraw(master)
    name = os.ttyname(slave)
    with Relay("tcp-listen:0", f"serial:{name},baud=57600") as relay:
        assert "57600" in relay.wait("up", "target")["text"]
        debugger = relay.connect("debugger")
        debugger.sendall(b"to the line")
        assert read_fd(master, 11) == b"to the line"
        os.write(master, b"from the line")
        assert read(debugger, 13) == b"from the line"
        assert termios.tcgetattr(slave)[4] == termios.B57600
    os.close(master)
    os.close(slave)


def test_serial_device_that_is_missing_or_none():
    with Relay("tcp-listen:0", "serial:/dev/kdwire-none") as relay:
        assert "is the adapter plugged in?" in relay.wait("retrying", "target")["text"]
    with Relay("tcp-listen:0", "serial:/dev/null") as relay:
        text = relay.wait("retrying", "target")["text"]
        assert "is no serial device; it should be one like /dev/ttyS0" in text
    with Relay("tcp-listen:0", "serial:/dev/ttyS0,baud=12345") as relay:
        assert relay.finish() == 1
    assert b"12345 baud" in relay.errors


def test_serial_line_that_another_relay_uses():
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    with Relay("tcp-listen:0", f"serial:{name}") as relay:
        relay.wait("up", "target")
        with Relay("tcp-listen:0", f"serial:{name}") as second:
            assert "in use by another program" in second.wait("retrying", "target")["text"]
    os.close(master)
    os.close(slave)


# ---- exec, stdio ----

def test_exec_is_an_end_and_is_started_again():
    with Relay("tcp-listen:0", "exec:head -c 4; exit 3") as relay:
        debugger = relay.connect("debugger")
        for number in range(3):
            relay.wait("up", "target", number + 1)
            debugger.sendall(b"ping")
            assert read(debugger, 4) == b"ping"
            relay.wait("down", "target", number + 1)
        assert "status 3" in relay.wait("warning", "target")["text"]


@pytest.mark.parametrize("then", ["wait", "exit"])
def test_exec_leaves_no_process_behind(tmp_path, then):
    """Neither while the shell waits for what it started, nor when it has ended and the other goes on."""
    pids = tmp_path / "pids"
    with Relay("tcp-listen:0", f"exec:sleep 1000 & echo $$ $! > {pids}; {then}") as relay:
        wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2, "the command")
        if then == "exit":
            wait_until(lambda: not is_running(pids.read_text().split()[0]), "the shell has ended")
            assert relay.count("down", "target") == 0
        assert relay.stop() == 0
    wait_until(lambda: not any(is_running(pid) for pid in pids.read_text().split()),
               "shell and command are ended")


def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before the file was opened, or read
        return False


def test_exec_of_an_unknown_command_says_so():
    with Relay("tcp-listen:0", "exec:kdwire-no-such-command") as relay:
        assert "was not found" in relay.wait("warning", "target")["text"]


def test_stdio_is_an_end_and_its_end_ends_the_relay():
    end = listening()
    with Relay("stdio", f"tcp:127.0.0.1:{end.getsockname()[1]}", events=False,
               stdin=subprocess.PIPE, stdout=subprocess.PIPE) as relay:
        target, _ = end.accept()
        target.settimeout(PATIENCE)
        relay.wait_error("target: connected")
        relay.process.stdin.write(b"question")
        relay.process.stdin.flush()
        assert read(target, 8) == b"question"
        target.sendall(b"answer")
        assert relay.process.stdout.read(6) == b"answer"
        relay.process.stdin.close()
        assert relay.finish() == 0
        assert read_all(target) == b""


def test_stdio_that_is_a_file_is_refused_with_advice():
    with open("/dev/null", "rb") as nothing, \
            Relay("stdio", "tcp-listen:0", events=False, stdin=nothing,
                  stdout=subprocess.DEVNULL) as relay:
        assert relay.finish() == 1
    assert b"cat FILE | kdwire" in relay.errors


def test_quiet_relay_says_nothing_when_standard_input_ends():
    with Relay("stdio", "tcp-listen:0", "--quiet", events=False, stdin=subprocess.PIPE,
               stdout=subprocess.DEVNULL) as relay:
        relay.process.stdin.close()
        assert relay.finish() == 0
    assert relay.errors == b""


# ---- what the relay says about the ends ----

def test_once_ends_when_both_have_gone():
    with Relay("tcp-listen:0", "tcp-listen:0", "--once") as relay:
        target = relay.connect("target")
        target.close()
        relay.wait("down", "target")
        target = relay.connect("target")
        debugger = relay.connect("debugger")
        exchange(debugger, target)
        debugger.close()
        relay.wait("down", "debugger")
        assert relay.process.poll() is None
        target.close()
        assert relay.finish() == 0


def test_console_text_instead_of_kd():
    with Relay("tcp-listen:0", "tcp-listen:0") as relay:
        target = relay.connect("target")
        target.sendall(b"\r\nDebian GNU/Linux 12 host ttyS0\r\n\r\nhost login: ")
        text = relay.wait("console", "target")["text"]
        assert "Debian GNU/Linux 12 host ttyS0" in text and "port that is set up" in text
        target.sendall(b"and more text " * 10)
        debugger = relay.connect("debugger")
        exchange(debugger, target)
        assert relay.count("console", "target") == 1, "said once"


def test_console_that_prints_slowly_and_never_pauses():
    """Text is not held back until there is much of it: 16 characters tell."""
    with Relay("tcp-listen:0", "tcp-listen:0") as relay:
        target = relay.connect("target")
        sent = 0
        while not relay.count("console", "target"):
            assert sent < 600, "far more than a line of text, and nothing was said"
            target.sendall(b"[  1.0] eth0\r\n"[sent % 14:][:4])
            sent += 4
            time.sleep(0.01)  # 400 bytes a second, and never the second of silence of a line's end
        assert "eth0" in relay.wait("console", "target")["text"]


def test_target_that_speaks_kd_may_print_text_too():
    with Relay("tcp-listen:0", "tcp-listen:0") as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        data = packet(6, 0) + b"some console text between packets " * 4
        target.sendall(data)
        assert read(debugger, len(data)) == data
        relay.stop()
        assert relay.count("console") == 0


def test_silent_target():
    with Relay("tcp-listen:0", "tcp-listen:0") as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        debugger.sendall(b"b")
        assert read(target, 1) == b"b"
        text = relay.wait("silent", "target")["text"]
    assert "has not answered the debugger" in text and "debugging switched on" in text


# ---- usage ----

@pytest.mark.parametrize("arguments,text", [
    ([], "--debugger END is missing"),
    (["-d", "stdio"], "--target END is missing"),
    (["-d", "stdio", "-t", "stdio"], "only one end can be stdio"),
    (["-d", "stdio", "-t", "tcp:h:1", "--events", "json"], "standard output"),
    (["-d", "host:4555", "-t", "stdio"], "did you mean tcp:host:4555?"),
    (["-d", "tcp:host", "-t", "stdio"], "the port is missing"),
    (["-d", "tcp:h:1", "-t", "tcp:h:2", "--pace", "fast"], "write bytes per second"),
    (["-d", "tcp:h:1", "-t", "tcp:h:2", "--format", "gif"], "pcapng and pcap-udp"),
    (["-d", "tcp:h:1", "-t", "tcp:h:2", "--rotate-size", "many"], "100M"),
    (["-d", "tcp:h:1", "-t", "tcp:h:2", "--keep", "3"], "--keep needs"),
    (["-d", "tcp:h:1", "-t", "tcp:h:2", "--framing", "raw"], "need --record, --live or --observe"),
    (["-d", "tcp:h:1", "-t", "tcp:h:2", "--format", "pcapng"], "need --record, --live or"),
    (["-d", "tcp:h:1", "-t", "tcp:h:2", "--rotate-size", "1M"], "need --record FILE"),
    (["-d", "tcp:h:1", "-t", "tcp:h:2", "-l", "x", "--rotate-time", "1h"], "need --record FILE"),
    (["-d", "tcp:h:1", "-t", "tcp:h:2", "--overwrite"], "--overwrite needs --record FILE"),
    (["-d", "tcp:h:1", "-t", "tcp:h:2", "extra"], "'extra' is not expected"),
    (["--no-such-option"], "--help"),
])
def test_wrong_usage_is_one_clear_line(arguments, text):
    done = subprocess.run([KDWIRE, "relay", *arguments], capture_output=True, text=True,
                          timeout=PATIENCE)
    assert done.returncode == 2
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 2, "the line, and where help is"


def test_help_names_every_option_of_the_manual():
    shown = subprocess.run([KDWIRE, "relay", "--help"], capture_output=True, text=True,
                           timeout=PATIENCE)
    assert shown.returncode == 0
    manual = pathlib.Path(__file__).resolve().parents[2] / "docs/man/kdwire-relay.1.scd"
    text = manual.read_text().replace("\\", "")
    for word in shown.stdout.split():
        if word.startswith("--"):
            option = word.rstrip(",").partition("[")[0]  # --option[=VALUE]
            assert f"*{option}*" in text, f"{option} is not in the manual"


def test_command_without_subcommand_and_unknown_ones():
    def run(*arguments):
        return subprocess.run([KDWIRE, *arguments], capture_output=True, text=True,
                              timeout=PATIENCE)
    assert run().returncode == 2
    assert run("--help").returncode == 0 and "relay" in run("--help").stdout
    assert run("--version").stdout.startswith("kdwire ")
    wrong = run("realy")
    assert wrong.returncode == 2 and "'realy' is no subcommand" in wrong.stderr


# ---- the status line ----

def status_lines(terminal, wanted):
    """What each redraw showed, until one of them is as WANTED."""
    shown = b""
    end = time.monotonic() + PATIENCE
    while True:
        lines = [re.split(rb"[\r\n]", piece)[0] for piece in shown.split(b"\r\x1b[K")[1:]]
        if any(map(wanted, lines)):
            return lines
        assert select.select([terminal], [], [], end - time.monotonic())[0], shown
        shown += os.read(terminal, 4096)


def test_status_line_fits_the_terminal_whatever_its_width():
    terminal, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    process = subprocess.Popen([KDWIRE, "relay", "-d", "tcp-listen:0", "-t", "tcp-listen:0"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs)
    try:
        start = b"debugger absent, target absent"
        narrow = status_lines(terminal, lambda line: line.startswith(start))
        narrow = [line for line in narrow if line.startswith(start)]
        assert max(map(len, narrow)) <= 39, "a longer line wraps and cannot be erased"
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 150, 0, 0))
        status_lines(terminal, lambda line: b"no stop seen" in line)  # the end of the whole line
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0
        os.close(theirs)
        os.close(terminal)
