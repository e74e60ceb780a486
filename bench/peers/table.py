#!/usr/bin/env python3
"""table.py RESULTS.jsonl --point POINT: what was measured, ratios, and the bars that were set for them."""

import argparse
import datetime
import json
import os
import re
import statistics
import subprocess

arguments = argparse.ArgumentParser()
arguments.add_argument("results")
arguments.add_argument("--point", required=True)
ARGUMENTS = arguments.parse_args()
PEERS = os.environ["PEERS"]
ASKED_FOR = os.environ.get("SIDES", "").split()
HERE = os.path.dirname(os.path.realpath(__file__))

NAMES = {
    "smtp-sink": "smtp-sink (accepts, throws away)",
    "postfix": "Postfix, relay",
    "postfix-rspamd": "Postfix + rspamd",
    "postfix-rspamd-real": "Postfix + rspamd with SPF, DKIM, DMARC, ARC",
    "haraka": "Haraka, forward",
    "sekisho-relay": "engine, relay",
    "sekisho-scan": "engine, full scanning",
    "sekisho-real": "engine, full scanning, SPF, DKIM, DMARC, ARC",
    "sekisho-spool": "engine, spool (fdatasync before 250)",
    "sekisho-hold": "engine, judged and held",
    "sekisho-hold-all": "engine, judged by all rules, held",
}
# (what, engine's side, peer's side, bar, aim): the peer's CPU for a mail is to be at least so many times the engine's.
TIMES_LESS = [
    ("relay / Postfix", "sekisho-relay", "postfix", 11, 16),
    ("full scanning / Postfix + rspamd", "sekisho-scan", "postfix-rspamd", 13, 22),
    ("spool / Postfix", "sekisho-spool", "postfix", 9, 13),
    ("judged and held / Postfix", "sekisho-hold", "postfix", 9, 13),
    ("judged by all rules and held / Postfix", "sekisho-hold-all", "postfix", None, None),
    ("relay / Haraka", "sekisho-relay", "haraka", None, None),
    ("real mails, scanning and senders / Postfix + rspamd", "sekisho-real", "postfix-rspamd-real", 8, 15),
]
# The engine's CPU for a mail is to be at most so many times the peer's.
TIMES_MORE = [("relay, times smtp-sink", "sekisho-relay", "smtp-sink", 1.5, 1.0)]


def read():
    """Lines by side and round."""
    sides = {}
    with open(ARGUMENTS.results, encoding="utf-8") as file:
        for line in file:
            one = json.loads(line)
            sides.setdefault(one["side"], {})[one["round"]] = one
    return sides


def span(values, digits):
    """Median, and all of them in the order of the rounds where there is more than one."""
    middle = f"{statistics.median(values):.{digits}f}"
    if len(values) < 2:
        return middle
    return f"{middle} ({' '.join(f'{value:.{digits}f}' for value in values)})"


def faults(one):
    """Why a line does not count, if it does not."""
    wrong = []
    if one["temporary"] or one["permanent"] or one["broken"]:
        failed = one["temporary"] + one["permanent"] + one["broken"]
        wrong.append(f"{failed} mails not accepted, first: {one['first_error']}")
    if one["accepted"] == 0:
        wrong.append("no mail accepted")
    if one["relays"] and one["delivered"] != one["accepted"]:
        wrong.append(f"{one['accepted']} accepted, {one['delivered']} in the sink")
    if not one["relays"] and one["delivered"]:
        wrong.append(f"{one['delivered']} mails in the sink, expected none")
    return wrong


def command(*words):
    done = subprocess.run(words, capture_output=True, text=True, cwd=HERE)
    return done.stdout.strip() if done.returncode == 0 else ""


def circumstances(sides):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"model name\s*: (.*)", file.read())
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(re.search(r"MemTotal:\s*(\d+)", file.read()).group(1)) >> 20
    commit = command("git", "rev-parse", "--short=10", "HEAD") or "not known"
    if command("git", "status", "--porcelain", "--untracked-files=no"):
        commit += " with changes"
    version = command(os.path.join(os.environ["PROGRAMS"], "sekisho-engine"), "--version")
    peers = []
    for path, read in (
        ("versions-postfix", lambda text: [" ".join(line.split()) for line in text.splitlines()]),
        ("haraka/node_modules/Haraka/package.json", lambda text: ["Haraka " + json.loads(text)["version"]]),
    ):
        try:
            with open(os.path.join(PEERS, path), encoding="utf-8") as file:
                peers += read(file.read())
        except OSError:
            pass  # that peer is not there
    by_cgroup = all(one["by_cgroup"] for rounds in sides.values() for one in rounds.values())
    return [
        f"Date:     {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, load of the machine "
        f"{os.getloadavg()[0]:.1f} at the end",
        f"Machine:  {found.group(1) if found else 'processor not known'}, {os.cpu_count()} cores, {memory} GiB",
        # What a distribution or a hoster added to the release names the machine.
        f"Kernel:   {os.uname().sysname} {os.uname().release.split('-')[0]}",
        f"Checkout: {commit}; programs: {version or 'version not known'}",
        f"Peers:    {', '.join(peers) or 'none'}",
        f"Point:    {ARGUMENTS.point} (class of mails, sessions, seconds), one mail on a connection, no pipelining",
        "CPU:      "
        + ("every process of a side, by cgroup" if by_cgroup else "processes of a side in ticks of 10 ms")
        + ", until the sink has everything",
    ]


def measured(sides):
    rows = [("side", "CPU ms a mail", "mails/s", "p50 ms", "p99 ms", "mails")]
    notes = []
    for side, name in NAMES.items():
        rounds = sides.get(side)
        if not rounds:
            if side in ASKED_FOR:
                rows.append((name, "not measured", "", "", "", ""))
            continue
        lines = list(rounds.values())
        value = lambda key: [one[key] for one in lines if one[key] is not None] or [float("nan")]
        rows.append(
            (
                name,
                span(value("cpu_ms"), 3),
                span(value("rate"), 0),
                f"{statistics.median(value('p50_ms')):.1f}",
                f"{statistics.median(value('p99_ms')):.1f}",
                str(sum(one["accepted"] for one in lines)),
            )
        )
        for one in lines:
            notes += [f"{name}, round {one['round']}: {wrong}" for wrong in faults(one)]
        if any(one["load_cpu_s"] > 0.95 * one["seconds"] for one in lines):
            notes.append(
                f"{name}: the load's core was busy all the time; mails/s are the load's, CPU a mail is the side's"
            )
    return rows, notes


def ratios(sides, which, turned):
    rows = []
    for what, engine, peer, bar, aim in which:
        rounds = sorted(set(sides.get(engine, {})) & set(sides.get(peer, {})))
        of = lambda side, one: sides[side][one]["cpu_ms"]
        if not rounds or any(of(side, one) <= 0 for one in rounds for side in (engine, peer)):
            if engine in sides and peer in sides:
                rows.append((what, "not measured", "", "", ""))
            continue
        # Each round by itself: what disturbs a round disturbs both of its sides.
        values = [of(engine, one) / of(peer, one) if turned else of(peer, one) / of(engine, one) for one in rounds]
        middle = statistics.median(values)
        if bar is None:
            verdict = "no bar"
        elif any(faults(sides[side][one]) for one in rounds for side in (engine, peer)):
            verdict = "does not count (see notes)"
        else:
            reached = (lambda limit: middle <= limit) if turned else (lambda limit: middle >= limit)
            verdict = "aim reached" if reached(aim) else "reached" if reached(bar) else "MISSED"
        limit = "" if bar is None else f"{'at most ' if turned else ''}{bar:g}"
        rows.append((what, span(values, 2 if turned else 1), limit, "" if aim is None else f"{aim:g}", verdict))
    return rows


def print_table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def main():
    sides = read()
    print("The engine on one core beside what one can install instead (make bench-peers)\n")
    print("\n".join(circumstances(sides)))
    rows, notes = measured(sides)
    print("\nMedian of the rounds (all of them):\n")
    print_table(rows)
    print("\nTimes less CPU than the peer; each round by itself, then the median:\n")
    head = ("ratio", "times", "bar", "aim", "")
    less, more = ratios(sides, TIMES_LESS, False), ratios(sides, TIMES_MORE, True)
    print_table([head] + less + more)
    if notes:
        print("\nNotes:")
        for note in notes:
            print(f"- {note}")
    print(
        "\nWhat is unfair: the engine's relay asks the next hop before its 250 and writes nothing, Postfix writes each mail to\n"
        "its queue first (the spool row does as much); Haraka writes nothing either. rspamd runs its own modules and no look-ups,\n"
        "the engine SpamAssassin's rules, 20,000 literals and its own: neither does what the other does. Mails are generated; their\n"
        "signatures are not valid and their attachments hold nothing to find, but in the class real.\n"
    )
    for (what, value, bar, aim, verdict), unit in [(row, "times less") for row in less] + [(row, "times") for row in more]:
        if bar:
            print(f"{what} | {value} {unit} | {bar} | {aim} | {verdict}")


main()
