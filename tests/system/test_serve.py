# SPDX-License-Identifier: BSD-2-Clause
"""kdwire serve: several relay sessions from one file, each for itself."""
import re
import shutil
import signal
import socket
import subprocess

import pytest
from relay_ends import KDWIRE, PATIENCE, ROOT, Relay, listening, packet, read, recording, wait_until


class Serve(Relay):
    """`kdwire serve FILE`; events have a session."""

    def __init__(self, file, **popen):
        self.start(["serve", file], True, **popen)

    def of(self, session):
        return Session(self, session)


class Session:
    def __init__(self, serve, name):
        self.serve, self.name = serve, name

    def wait(self, event, end, number=1):
        def found():
            return [e for e in self.serve.events
                    if (e["event"], e["session"], e.get("end")) == (event, self.name, end)]
        with self.serve.changed:
            ok = self.serve.changed.wait_for(lambda: len(found()) >= number, PATIENCE)
            assert ok, f"no {event} of {self.name}: {self.serve.events} {self.serve.errors!r}"
            return found()[number - 1]

    def connect(self, end, listening_number=1, up_number=1):
        port = int(self.wait("listening", end, listening_number)["text"].rsplit(":", 1)[1])
        side = socket.create_connection(("127.0.0.1", port), PATIENCE)
        side.settimeout(PATIENCE)
        self.wait("up", end, up_number)
        return side


def exchange(debugger, target, word=b"question"):
    debugger.sendall(word)
    assert read(target, len(word)) == word
    target.sendall(word)
    assert read(debugger, len(word)) == word


def session(name, *lines, debugger="tcp-listen:0", target="tcp-listen:0"):
    return "\n".join([f"[{name}]", f"debugger = {debugger}", f"target = {target}", *lines, "", ""])


def write(path, *sessions):
    path.write_text("# sessions of a test\n" + "".join(sessions))
    return str(path)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "sessions.conf"


def test_sessions_side_by_side_and_their_recordings(file):
    """Paths begin at the file's folder. A recording that is there already is not touched."""
    old = file.with_name("b_00001.pcapng")
    old.write_bytes(b"precious")
    with Serve(write(file, session("a", "record = a.pcapng", "overwrite"),
                     session("b", "record = b.pcapng"))) as serve:
        for name in "ab":
            debugger, target = serve.of(name).connect("debugger"), serve.of(name).connect("target")
            exchange(debugger, target, packet(2, 0x80800000, name.encode() * 20))
        assert serve.stop(signal.SIGTERM) == 0
    for name, path in (("a", "a.pcapng"), ("b", "b_00002.pcapng")):
        assert recording(file.with_name(path)).sent == [packet(2, 0x80800000, name.encode() * 20)] * 2
    assert old.read_bytes() == b"precious"


def test_a_session_that_cannot_open_is_told_once_and_opens_later(file):
    taken = listening()
    port = taken.getsockname()[1]
    with Serve(write(file, session("first", debugger=f"tcp-listen:{port}"),
                     session("second"))) as serve:
        exchange(serve.of("second").connect("debugger"), serve.of("second").connect("target"))
        serve.wait_error(f"first: tcp-listen:127.0.0.1:{port}: ")
        taken.close()
        exchange(serve.of("first").connect("debugger"), serve.of("first").connect("target"))
        assert serve.errors.count(b"tried again") == 1


def test_a_session_that_ends_by_itself_begins_again(file):
    later = listening()
    port = later.getsockname()[1]
    later.close()
    with Serve(write(file, session("brief", debugger=f"tcp:127.0.0.1:{port},retry=0"),
                     session("other"))) as serve:
        serve.of("brief").wait("ended", "debugger")
        exchange(serve.of("other").connect("debugger"), serve.of("other").connect("target"))
        later = listening(address=("127.0.0.1", port))
        debugger, _ = later.accept()
        debugger.settimeout(PATIENCE)
        serve.of("brief").wait("up", "debugger")  # told after all its ports
        ports = len([e for e in serve.events if e["session"] == "brief" and e["event"] == "listening"])
        exchange(debugger, serve.of("brief").connect("target", ports))


def test_reload_leaves_alone_what_is_as_before(file):
    same, gone, changed = session("same"), session("gone"), session("changed")
    with Serve(write(file, same, gone, changed), stdin=subprocess.DEVNULL) as serve:
        debugger, target = serve.of("same").connect("debugger"), serve.of("same").connect("target")
        lost = serve.of("gone").connect("debugger")
        altered = serve.of("changed").connect("debugger")
        write(file, session("changed", "record = new.pcapng"), same, session("new"))
        serve.process.send_signal(signal.SIGHUP)
        exchange(serve.of("new").connect("debugger"), serve.of("new").connect("target"))
        assert lost.recv(1) == b"" and altered.recv(1) == b""
        exchange(serve.of("changed").connect("debugger", 2, 2), serve.of("changed").connect("target", 2))
        exchange(debugger, target)
        write(file, "[same]\ndebugger = nonsense\n")
        serve.process.send_signal(signal.SIGHUP)
        serve.wait_error("the sessions go on as they are")
        exchange(debugger, target)
        assert serve.stop(signal.SIGTERM) == 0


def test_a_port_moves_from_one_session_to_another_at_reload(file):
    port = listening()
    number = port.getsockname()[1]
    port.close()
    with Serve(write(file, session("a", debugger=f"tcp-listen:{number}")),
               stdin=subprocess.DEVNULL) as serve:
        serve.of("a").wait("listening", "debugger")
        write(file, session("b", debugger=f"tcp-listen:{number}"))
        serve.process.send_signal(signal.SIGHUP)
        serve.of("b").connect("debugger")
        assert b"tried again" not in serve.errors


def test_log_has_times_and_begins_anew_when_full(file):
    log = file.with_name("log")
    log.write_bytes(b"x" * (4 << 20) + b"\n")
    process = subprocess.Popen([KDWIRE, "serve", "--log", log, write(file, session("a"))],
                               stderr=subprocess.PIPE)
    wait_until(lambda: log.exists() and b"target: listening" in log.read_bytes(), "a line in the log")
    process.terminate()
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and errors == b""
    line = log.read_text().splitlines()[-1]
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d a: debugger sent 0 bytes", line), line
    assert log.stat().st_size < 1000 and log.with_name("log.old").stat().st_size > 4 << 20


def check(file, text):
    file.write_text(text)
    result = subprocess.run([KDWIRE, "serve", "--check", file], capture_output=True, text=True,
                            timeout=PATIENCE, check=False)
    return result.returncode, result.stderr.replace(str(file), "FILE").splitlines()


GOOD = session("vm")


@pytest.mark.parametrize("text,line,says", [
    ("", 1, "there is no session in this file"),
    ("debugger = tcp:h:1\n" + GOOD, 1, "a setting belongs to a session"),
    ("[a b]\n", 1, "a session begins with its name in brackets"),
    ("[" + "a" * 32 + "]\n", 1, "at most 31"),
    (GOOD + GOOD, 5, "[vm] is there already, in line 1"),
    (GOOD + "pace = fast\n", 5, "pace 'fast': write bytes per second"),
    (GOOD + "target =\n", 5, "the value is missing after '='"),
    (GOOD + "= x\n", 5, "name is missing before '='"),
    (GOOD + "record\n", 5, "record needs a value"),
    (GOOD + "speed = 3\n", 5, "'speed' is no setting of a session; there are debugger, target"),
    (GOOD + "overwrite = maybe\n", 5, "overwrite 'maybe': write yes or no"),
    (GOOD + "keep = 3\n", 1, "keep needs rotate-size or rotate-time"),
    ("[a]\ndebugger = tcp:h:1\n", 1, "target END is missing"),
    (session("a", debugger="stdio"), 1, "stdio belongs to kdwire relay"),
    (session("a", debugger="kdnet-target:host=h,port=5"), 1, "write key-file = FILE"),
    (session("a", "key-file = /nowhere", debugger="kdnet-target:host=h,port=5"), 1,
     "cannot read the key"),
    (GOOD + "record = a\x1b[2Jb\n", 5, "control character"),
    ("x\0y", 1, "save it as UTF-8"),
    pytest.param("#" * 300000, 1, "too large", id="large"),
])
def test_a_fault_is_told_with_its_line(file, text, line, says):
    code, lines = check(file, text)
    assert code in (1, 2)
    assert lines[0].startswith(f"kdwire serve: FILE:{line}: ") and says in lines[0], lines


def test_all_faults_are_told_at_once_and_nothing_runs(file):
    text = GOOD + "pace = fast\nkeep = 0\n[b]\nx = y\n"
    assert len(check(file, text)[1]) == 3
    result = subprocess.run([KDWIRE, "serve", file], capture_output=True, timeout=PATIENCE, check=False)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 3


def test_a_file_from_notepad_is_read(file):
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert subprocess.run([KDWIRE, "serve", "--check", file], check=False).returncode == 0


def test_the_sample_file_and_the_systemd_unit_are_right(file):
    """The sample's first session, without its comment signs, and the unit by systemd's own checker."""
    sample = (ROOT / "packaging/sessions.conf").read_text()
    code, lines = check(file, "\n".join(re.findall(r"^#([\[a-z].*=.*|\[.*)$", sample, re.M)[:6]))
    assert code == 0, lines
    unit = file.with_name("kdwire.service")
    unit.write_text((ROOT / "packaging/linux/kdwire.service").read_text().replace("/usr/local/bin/kdwire", KDWIRE))
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed; the unit file is not checked")
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, check=False)
    assert result.returncode == 0 and b"kdwire.service" not in result.stderr, result.stderr


def test_service_on_linux_names_systemd():
    result = subprocess.run([KDWIRE, "service", "install", "x"], capture_output=True, check=False)
    assert result.returncode == 1 and b"systemctl enable --now kdwire" in result.stderr
