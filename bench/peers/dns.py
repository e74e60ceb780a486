#!/usr/bin/env python3
"""Answers every DNS query on a port of loopback with NXDOMAIN at once, so that no scanner waits for a time-out."""

import socket
import sys

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", int(sys.argv[1])))
while True:
    query, client = server.recvfrom(1500)
    if len(query) < 17:
        continue
    end = 12
    while end < len(query) and query[end]:
        end += query[end] + 1
    server.sendto(query[:2] + b"\x81\x83\x00\x01\x00\x00\x00\x00\x00\x00" + query[12 : end + 5], client)
