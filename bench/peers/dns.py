#!/usr/bin/env python3
"""dns.py PORT [ZONE] answers every DNS query on a port of loopback at once, so that no scanner waits for a time-out: texts of
the master file ZONE (as `sekisho-loadgen traffic --zone` writes it), nothing where a name has none, else NXDOMAIN."""

import re
import socket
import sys

TXT, IN = b"\x00\x10", b"\x00\x01"
# The SOA that lets a "no" be remembered, as real zones have: of the root, for five minutes.
SOA = b"\x00\x00\x06" + IN + b"\x00\x00\x01\x2c\x00\x16\x00\x00" + b"\x00\x00\x01\x2c" * 5


def texts(path):
    """Rdata of the TXT records by name, lower case and without the last dot."""
    origin, found = "", {}
    with open(path, encoding="ascii") as file:
        for line in file:
            words = line.split(None, 3)
            if words[:1] == ["$ORIGIN"]:
                origin = words[1].rstrip(".").lower()
            if words[1:3] != ["IN", "TXT"]:
                continue
            name = origin if words[0] == "@" else f"{words[0].lower()}.{origin}"
            strings = [one.encode() for one in re.findall(r'"([^"]*)"', words[3])]
            found.setdefault(name, []).append(b"".join(bytes([len(one)]) + one for one in strings))
    return found


def question(query):
    """Its name, and where it ends in the query."""
    labels, at = [], 12
    while at < len(query) and query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("latin1").lower())
        at += query[at] + 1
    return ".".join(labels), at + 5


def answer(zone, query):
    name, end = question(query)
    rdatas = zone.get(name, []) if query[end - 4 : end] == TXT + IN else []
    known = rdatas or name in zone
    flags = b"\x85\x80" if known else b"\x85\x83"
    soa = b"" if rdatas else SOA
    head = query[:2] + flags + b"\x00\x01" + len(rdatas).to_bytes(2, "big") + bytes([0, bool(soa), 0, 0])
    records = b"".join(b"\xc0\x0c" + TXT + IN + b"\x00\x00\x01\x2c" + len(one).to_bytes(2, "big") + one for one in rdatas)
    return head + query[12:end] + records + soa


def main():
    zone = texts(sys.argv[2]) if len(sys.argv) > 2 else {}
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", int(sys.argv[1])))
    while True:
        query, client = server.recvfrom(1500)
        if len(query) >= 17:
            server.sendto(answer(zone, query), client)


if __name__ == "__main__":
    main()
