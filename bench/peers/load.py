#!/usr/bin/env python3
"""A closed loop of sessions, one mail on a connection, no pipelining: the same for every side.

Prints one JSON object. One thread; on core 1 with smtp-sink it can do some 4,700 mails of the mix a second, and
says in `load_cpu_s` how busy it was: a side that is faster than that is limited by it, but its CPU for a mail is not.
"""

import argparse
import glob
import json
import os
import random
import select
import socket
import time

arguments = argparse.ArgumentParser()
arguments.add_argument("--port", type=int, required=True)
arguments.add_argument("--sessions", type=int, required=True)
arguments.add_argument("--seconds", type=float, required=True)
arguments.add_argument("--corpus", required=True)
arguments.add_argument("--mix", required=True, help="2k:70,20k:25,200k:5")
ARGUMENTS = arguments.parse_args()
DRAWN = 20000  # mails in the order in which they are sent, again and again
ANSWER_SECONDS_MAX = 60  # after the end, for what is under way


def drawn_order():
    """The mails of the mix, dot-stuffed and ended, in an order that a fixed seed gives."""
    draw = random.Random(7)
    classes, weights = [], []
    for part in ARGUMENTS.mix.split(","):
        name, weight = part.split(":")
        mails = []
        for path in sorted(glob.glob(os.path.join(ARGUMENTS.corpus, name, "*.eml"))):
            octets = open(path, "rb").read()
            stuffed = (b"\r\n" + octets).replace(b"\r\n.", b"\r\n..")[2:]
            mails.append(stuffed + (b"" if stuffed.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        classes.append(mails)
        weights.append(int(weight))
    return [draw.choice(draw.choices(classes, weights)[0]) for _ in range(DRAWN)]


class Load:
    """All sessions and what came of them."""

    def __init__(self):
        self.mails = drawn_order()
        self.epoll = select.epoll()
        self.sessions = {}
        self.sent = self.accepted = self.temporary = self.permanent = self.broken = 0
        self.first_error = ""
        self.latencies = []
        self.started = time.perf_counter()
        self.deadline = self.started + ARGUMENTS.seconds

    def run(self):
        for _ in range(ARGUMENTS.sessions):
            Session(self)
        hard = self.deadline + ANSWER_SECONDS_MAX
        while self.sessions and time.perf_counter() < hard:
            for number, event in self.epoll.poll(1.0):
                session = self.sessions.get(number)
                if session is None:
                    continue
                try:
                    session.ready(event)
                except OSError as error:
                    self.broken += 1
                    self.first_error = self.first_error or f"{error} after {session.waits_for}"
                    session.close()
        self.broken += len(self.sessions)
        seconds = time.perf_counter() - self.started
        self.latencies.sort()
        times = os.times()
        return {
            "seconds": round(seconds, 2),
            "accepted": self.accepted,
            "temporary": self.temporary,
            "permanent": self.permanent,
            "broken": self.broken,
            "first_error": self.first_error,
            "rate": round(self.accepted / seconds, 1),
            "p50_ms": self.percentile(0.5),
            "p99_ms": self.percentile(0.99),
            "load_cpu_s": round(times.user + times.system, 2),
        }

    def percentile(self, part):
        if not self.latencies:
            return None
        index = min(len(self.latencies) - 1, int(part * len(self.latencies)))
        return round(1000 * self.latencies[index], 2)


class Session:
    """One connection: greeting, EHLO, MAIL, RCPT, DATA, content, QUIT."""

    NEXT = {
        "greeting": (b"220", "ehlo", b"EHLO load.test\r\n"),
        "ehlo": (b"250", "mail", b"MAIL FROM:<sender@example.com>\r\n"),
        "mail": (b"250", "rcpt", None),
        "rcpt": (b"250", "data", b"DATA\r\n"),
        "data": (b"354", "content", None),
        "content": (b"250", "quit", b"QUIT\r\n"),
    }

    def __init__(self, load):
        self.load = load
        self.waits_for = "greeting"
        self.received = self.unsent = b""
        self.polls_for_room = False
        self.connected = time.perf_counter()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket.connect(("127.0.0.1", ARGUMENTS.port))
        except BlockingIOError:
            pass
        load.sessions[self.socket.fileno()] = self
        load.epoll.register(self.socket.fileno(), select.EPOLLIN)

    def close(self):
        self.load.epoll.unregister(self.socket.fileno())
        del self.load.sessions[self.socket.fileno()]
        self.socket.close()
        if time.perf_counter() < self.load.deadline:
            Session(self.load)

    def ready(self, event):
        if event & select.EPOLLOUT:
            self.flush()
        if not event & ~select.EPOLLOUT:
            return
        octets = self.socket.recv(65536)
        if not octets:
            if self.waits_for != "quit":
                self.load.broken += 1
                self.load.first_error = self.load.first_error or f"closed after {self.waits_for}"
            self.close()
            return
        self.received += octets
        while b"\n" in self.received and self.socket.fileno() >= 0:
            line, _, self.received = self.received.partition(b"\n")
            if line[3:4] != b"-":
                self.reply(line)

    def reply(self, line):
        load = self.load
        if self.waits_for == "quit":
            self.close()
            return
        code, following, words = self.NEXT[self.waits_for]
        if line[:3] != code:
            load.first_error = load.first_error or f"{self.waits_for}: {line.decode('latin1').strip()[:120]}"
            if line[:1] == b"4":
                load.temporary += 1
            else:
                load.permanent += 1
            self.close()
            return
        if self.waits_for == "mail":
            words = b"RCPT TO:<user%d@example.test>\r\n" % (load.sent % 1000)
        elif self.waits_for == "data":
            words = load.mails[load.sent % len(load.mails)]
            load.sent += 1
        elif self.waits_for == "content":
            load.accepted += 1
            load.latencies.append(time.perf_counter() - self.connected)
        self.waits_for = following
        self.unsent = memoryview(words)
        self.flush()

    def flush(self):
        try:
            while self.unsent:
                self.unsent = self.unsent[self.socket.send(self.unsent[:262144]) :]
        except BlockingIOError:
            pass
        polls = len(self.unsent) > 0
        if polls != self.polls_for_room:
            self.polls_for_room = polls
            self.load.epoll.modify(self.socket.fileno(), select.EPOLLIN | (select.EPOLLOUT if polls else 0))


print(json.dumps(Load().run()))
