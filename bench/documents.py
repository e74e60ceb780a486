#!/usr/bin/env python3
"""What an analysis worker takes for files, each as the attachment of a mail: time of its CPU and the most memory it had.

    bench/engine.sh 127.0.0.1:2525 127.0.0.1:2526 STATE demo.test toml core/data/rules     # once: makes the tables; end it
    bench/documents.py target/release/sekisho-engine STATE FILE|DIR... > bench/results/documents.txt

Each file gets a worker of its own: the engine's program behind its sandbox, with the tables of the newest generation of
STATE, asked over its socket as the engine asks (core/src/analysis/wire.rs), after one plain mail that it is warmed by. The
time is what the kernel counts that the process ran for this file alone (schedstat), so that other work on the machine does
not count; the memory is VmHWM, with the program and its tables. Printed are the slowest ten, those with the most memory,
and whatever is above the bar of issue 4: below 2 s and 256 MiB each. Exit status 1 if anything is.

With WORDS=N in the environment the mail has N words that may be passwords, which is the worst case for protected files: all
that may be spent on tries is spent, and none fits.
"""

import array
import base64
import json
import os
import socket
import struct
import subprocess
import sys
import time

SECONDS_MAX = 2.0
MIB_MAX = 256
DEADLINE_SECONDS = 60


class Worker:
    def __init__(self, program, state):
        numbers = [name for name in os.listdir(f"{state}/generations") if name.isdigit()]
        generation = f"{state}/generations/{max(numbers, key=int)}"
        ours, theirs = socket.socketpair()
        ours.settimeout(DEADLINE_SECONDS)
        self.socket = ours
        arguments = [program, "analysis-worker", str(512 << 20), "passwords", "-", generation, f"{state}/engine"]
        self.process = subprocess.Popen(arguments, stdin=theirs, stderr=subprocess.DEVNULL)
        theirs.close()
        assert self.answer() == "Ready"

    def answer(self):
        octets = self.read(struct.unpack("<I", self.read(4))[0])
        return json.loads(octets)

    def read(self, count):
        octets = b""
        while len(octets) < count:
            piece = self.socket.recv(count - len(octets))
            if not piece:
                raise EOFError("the worker died")
            octets += piece
        return octets

    def ask(self, mail):
        file = os.memfd_create("content")
        with os.fdopen(file, "wb", closefd=False) as memory:
            memory.write(mail)
        request = {
            "ranges": [{"descriptor": 0, "offset": 0, "bytes": len(mail)}],
            "envelope_from": list(b"a@b.example"),
            "reading": "Whole",
            "cleaning": {"malware": True, "active": False},
        }
        body = json.dumps(request).encode()
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]))
        self.socket.sendmsg([struct.pack("<I", len(body))], [rights])
        os.close(file)
        self.socket.sendall(body)
        return self.answer()

    def seconds(self):
        with open(f"/proc/{self.process.pid}/schedstat") as text:
            return int(text.read().split()[0]) / 1e9

    def mib(self):
        with open(f"/proc/{self.process.pid}/status") as text:
            lines = dict(line.split(":", 1) for line in text)
        return int(lines["VmHWM"].split()[0]) / 1024

    def end(self):
        self.socket.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def mail(name, octets):
    name = name.encode("ascii", "replace").decode().replace('"', "_")
    text = " ".join(f"word{number}" for number in range(int(os.environ.get("WORDS", "0")))) or "text"
    head = (
        "From: a@b.example\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        f"--b\r\n\r\n{text}\r\n--b\r\n"
        f'Content-Type: application/octet-stream; name="{name}"\r\nContent-Disposition: attachment\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    return head.encode() + base64.encodebytes(octets).replace(b"\n", b"\r\n") + b"--b--\r\n"


def measure(program, state, path):
    with open(path, "rb") as file:
        octets = file.read()
    worker = Worker(program, state)
    worker.ask(b"Subject: x\r\n\r\nplain\r\n")
    before, begun = worker.seconds(), time.monotonic()
    try:
        answer = worker.ask(mail(os.path.basename(path), octets))
        found = str(len(answer["Examined"][0]["findings"]))
        taken = (worker.seconds() - before, worker.mib())
    except (OSError, EOFError, KeyError, TypeError) as error:
        found, taken = f"{type(error).__name__}", (time.monotonic() - begun, 0.0)
    worker.end()
    return (*taken, time.monotonic() - begun, len(octets), found, path)


def say(title, rows):
    print(f"\n{title}\n  CPU s   MiB  wall s    octets findings  file")
    for cpu, mib, wall, octets, found, path in rows:
        print(f"{cpu:7.3f} {mib:5.0f} {wall:7.3f} {octets:9} {found:>8}  {path}")


def main():
    program, state, *roots = sys.argv[1:]
    paths = []
    for root in roots:
        inside = [os.path.join(at, name) for at, _, names in os.walk(root) for name in names]
        paths += inside if os.path.isdir(root) else [root]
    rows = [measure(program, state, path) for path in sorted(paths)]
    above = [row for row in rows if row[0] >= SECONDS_MAX or row[1] >= MIB_MAX or not row[4].isdigit()]
    total = sum(row[0] for row in rows)
    print(f"{len(rows)} files, {total:.1f} s of CPU, {len(above)} above {SECONDS_MAX} s or {MIB_MAX} MiB or without an answer")
    say("the slowest ten", sorted(rows, reverse=True)[:10])
    say("the most memory", sorted(rows, key=lambda row: -row[1])[:10])
    if above:
        say("above the bar", above)
    sys.exit(1 if above else 0)


main()
