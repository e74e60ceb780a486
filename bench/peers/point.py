#!/usr/bin/env python3
"""Starts one side, drives it, and writes one line of JSON: its CPU for each mail until the sink has everything.

Called by run.sh for each side and round. CPU is that of a cgroup which holds every process of the side, whoever
started it; where no cgroup may be made, that of the processes of its session (ticks of 10 ms).
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

arguments = argparse.ArgumentParser()
arguments.add_argument("side")
arguments.add_argument("--round", type=int, required=True)
arguments.add_argument("--point", required=True, help="CLASS:SESSIONS:SECONDS; CLASS 2k, 20k, 200k, mix or real")
arguments.add_argument("--out", required=True)
ARGUMENTS = arguments.parse_args()
PEERS, PROGRAMS = os.environ["PEERS"], os.environ["PROGRAMS"]
HERE = os.path.dirname(os.path.realpath(__file__))
SIDE = os.path.join(HERE, "sides", ARGUMENTS.side + ".sh")
RUN = os.path.join(PEERS, "run", ARGUMENTS.side)
SIDE_CORE, LOAD_CORE = "0", "1"
MIX = "2k:70,20k:25,200k:5"
START_SECONDS_MAX = 900  # the engine builds its tables in it: half a minute with all rules on a quiet machine
WARM_UP_SECONDS = 2.0
DRAIN_SECONDS_MAX, STALL_SECONDS_MAX = 60, 8
HERTZ = os.sysconf("SC_CLK_TCK")


def text_of(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


class Group:
    """CPU of all processes of the side by cgroup, version 1 (cpuacct) or 2."""

    def __init__(self):
        self.path = None
        name = f"sekisho-peers-{os.environ['APART']}-{time.time_ns() // 1000000 % 10**6}"
        for base, figure in (("/sys/fs/cgroup/cpuacct", "cpuacct.usage"), ("/sys/fs/cgroup", "cpu.stat")):
            if not os.path.exists(os.path.join(base, "cgroup.procs")):
                continue
            try:
                os.mkdir(os.path.join(base, name))
            except OSError:
                continue
            self.path, self.figure = os.path.join(base, name), figure
            return

    def enter(self):
        with open(os.path.join(self.path, "cgroup.procs"), "w") as file:
            file.write("0")

    def seconds(self):
        text = text_of(os.path.join(self.path, self.figure))
        if self.figure == "cpuacct.usage":
            return int(text) / 1e9
        return int(re.search(r"usage_usec (\d+)", text).group(1)) / 1e6

    def processes(self):
        return [int(pid) for pid in text_of(os.path.join(self.path, "cgroup.procs")).split()]

    def remove(self):
        os.rmdir(self.path)


class Session:
    """CPU of all processes of a session, and of those of its children that it waited for."""

    def __init__(self):
        self.leader = None

    def enter(self):
        pass

    def stat(self, pid):
        """Fields of /proc/PID/stat from the state on; none where the process is gone."""
        try:
            return text_of(f"/proc/{pid}/stat").rpartition(")")[2].split()
        except OSError:
            return None

    def processes(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            fields = self.stat(pid)
            if fields and int(fields[3]) == self.leader and fields[0] != "Z":
                found.append(int(pid))
        return found

    def seconds(self):
        fields = filter(None, (self.stat(pid) for pid in self.processes()))
        return sum(sum(int(ticks) for ticks in one[11:15]) for one in fields) / HERTZ

    def remove(self):
        pass


# What others have is 1024. With much more the kernel's own threads, that of the file system's journal among them, wait
# for seconds, and so does every flush.
SHARES = 4096


class Priority:
    """All that is measured, before other work on the machine while a point runs. (Nice values do not reach across
    sessions where the kernel schedules by autogroup.)"""

    def __init__(self):
        self.file = None
        path = "/sys/fs/cgroup/cpu/sekisho-peers"
        try:
            os.makedirs(path, exist_ok=True)
            with open(os.path.join(path, "cgroup.procs"), "w") as file:
                file.write("0")
            self.file = os.path.join(path, "cpu.shares")
        except OSError:
            pass

    def set(self, shares):
        if self.file:
            with open(self.file, "w") as file:
                file.write(str(shares))


class Sink:
    """Takes what a side relays, and counts it: Postfix's smtp-sink, or our own where that cannot be had."""

    def __init__(self, port):
        self.root = os.path.join(PEERS, "roots/postfix/m")
        self.smtp_sink = os.path.ismount(self.root)
        pinned = ["taskset", "-c", LOAD_CORE]
        if self.smtp_sink:
            self.counted = os.path.join(RUN, "sink.count")
            command = [
                "chroot",
                self.root,
                "smtp-sink",
                "-u",
                "nobody",
                "-c",
                "-h",
                "sink.test",
                f"127.0.0.1:{port}",
                "1000",
            ]
            output = open(self.counted, "wb")
        else:
            self.counted = os.path.join(RUN, "sink.ledger")
            open(self.counted, "wb").close()
            program = os.path.join(PROGRAMS, "sekisho-loadgen")
            command = [program, "sink", "--listen", f"127.0.0.1:{port}", "--ledger", self.counted]
            output = subprocess.DEVNULL
        self.process = subprocess.Popen(
            pinned + command, stdout=output, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )

    def count(self):
        with open(self.counted, "rb") as file:
            if not self.smtp_sink:
                return sum(1 for _ in file)
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 300))
            found = re.findall(rb"mesg=\s*(\d+)", file.read())
        return int(found[-1]) if found else 0

    def wait_for(self, wanted):
        """Until it has so many, or no more come."""
        began = last_change = time.time()
        last = -1
        while True:
            count = self.count()
            if count != last:
                last, last_change = count, time.time()
            if (
                count >= wanted
                or time.time() - began > DRAIN_SECONDS_MAX
                or time.time() - last_change > STALL_SECONDS_MAX
            ):
                return count
            time.sleep(0.05)


def greets(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            connection.settimeout(10)
            greeting = connection.recv(100)
            connection.sendall(b"QUIT\r\n")
            connection.recv(100)
            return greeting.startswith(b"220")
    except OSError:
        return False


def drive(port, mails, sessions, seconds):
    command = ["taskset", "-c", LOAD_CORE, sys.executable, os.path.join(HERE, "load.py"), "--port", str(port)]
    command += ["--sessions", str(sessions), "--seconds", str(seconds), "--corpus", os.path.join(PEERS, "corpus")]
    command += ["--mix", MIX if mails == "mix" else mails + ":1"]
    done = subprocess.run(command, capture_output=True, check=True)
    return json.loads(done.stdout)


def measure(group, sink, relays, port):
    """One point, after a warm-up that counts for nothing."""
    mails, sessions, seconds = ARGUMENTS.point.split(":")
    before = sink.count()
    warm = drive(port, mails, int(sessions), min(WARM_UP_SECONDS, float(seconds)))
    if relays:
        sink.wait_for(before + warm["accepted"])
    time.sleep(0.3)
    before, cpu, began = sink.count(), group.seconds(), time.time()
    result = drive(port, mails, int(sessions), float(seconds))
    delivered = sink.wait_for(before + result["accepted"]) - before if relays else sink.count() - before
    # A side that does not relay may still be at work on what it took.
    if not relays:
        time.sleep(1.0)
    result["cpu_ms"] = round(1000 * (group.seconds() - cpu) / max(1, result["accepted"]), 4)
    result["delivered"] = delivered
    result["elapsed_s"] = round(time.time() - began, 2)
    result["relays"] = relays
    return result


def stop(processes):
    """Ends what the side started, and only that, by id."""
    for _ in range(100):
        pids = processes()
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.05)


def main():
    # Told to end, it ends what it started, as after an error.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    os.makedirs(RUN, exist_ok=True)
    header = dict(re.findall(r"^# (settle|relays): (\S+)$", text_of(SIDE), re.M))
    relays = header.get("relays", "yes") == "yes"
    listen, sink_port = int(os.environ["LISTEN"]), int(os.environ["SINK"])
    priority, group = Priority(), Group()
    if group.path is None:
        group = Session()
    sink = Sink(sink_port)
    zone = list(filter(os.path.exists, [os.path.join(PEERS, "real.zone")]))
    dns = subprocess.Popen(
        ["taskset", "-c", LOAD_CORE, sys.executable, os.path.join(HERE, "dns.py"), os.environ["DNS"], *zone],
        stdin=subprocess.DEVNULL,
    )
    environment = dict(os.environ, RUN=RUN)
    log = os.path.join(RUN, "start.log")
    side = subprocess.Popen(
        ["taskset", "-c", SIDE_CORE, SIDE, "start"],
        env=environment,
        preexec_fn=group.enter,
        start_new_session=True,
        stdout=open(log, "wb"),
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    group.leader = side.pid
    try:
        began = time.time()
        while not greets(listen):
            if side.poll() not in (None, 0) or time.time() - began > START_SECONDS_MAX:
                sys.exit(f"{ARGUMENTS.side} did not come up:\n{text_of(log)[-2000:]}")
            time.sleep(0.3)
        time.sleep(float(header.get("settle", 1)))
        priority.set(SHARES)
        result = measure(group, sink, relays, listen)
    finally:
        priority.set(1024)
        stop(group.processes)
        side.wait()
        for process in (sink.process, dns):
            process.kill()
            process.wait()
        group.remove()
    result.update(side=ARGUMENTS.side, round=ARGUMENTS.round, by_cgroup=isinstance(group, Group))
    with open(ARGUMENTS.out, "a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")


main()
