#!/usr/bin/env python3
"""gen_corpus.py DIR [count] - write size classes 2k/ 20k/ 200k/ of real-looking MIME mail, fixed seed.
2k: text/plain (English or ISO-2022-JP). 20k: multipart/alternative, html newsletter. 200k: mixed with
a zip-like and a pdf-like attachment. Files are CRLF, not dot-stuffed. Same seed -> same bytes."""

import base64
import os
import quopri
import random
import sys
import zlib

R = random.Random(20240229)
EN = (
    "the of and to in a is that for it on as with was be by this are from or an at which have not but has your "
    "order invoice meeting account report please review attached schedule delivery project customer update "
    "payment confirm service team budget quarter contract shipment network server security password link "
    "monday tuesday regards thanks hello dear question answer number price total free offer limited today"
).split()
JA = (
    "いつも お世話に なって おります 株式会社 山田です 本日の 会議 について ご連絡 いたします 添付 資料を "
    "ご確認 ください 請求書 納品 予定 よろしく お願い申し上げます 見積り 注文 番号 発送 メール 重要 お知らせ "
    "期間限定 無料 キャンペーン 担当 佐藤 東京 大阪 送付 先日は ありがとう ございました"
).split()
NAMES = "alice bob carol dave erin frank grace heidi ivan judy mallory niaj olivia peggy rupert sybil".split()
DOMS = "example.com example.net example.org mail.example.jp shop.example.com news.example.net".split()


def words(n, src):
    return [R.choice(src) for _ in range(n)]


def para(n, src):
    w = words(n, src)
    s = (" " if src is EN else "").join(w)
    return (s[:1].upper() + s[1:] + ".") if src is EN else s + "。"


def url():
    return "https://%s/%s?id=%x&u=%x" % (R.choice(DOMS), "/".join(words(2, EN)), R.getrandbits(40), R.getrandbits(24))


def b64(b):
    return base64.encodebytes(b).replace(b"\n", b"\r\n")


def headers(subject, ctype, cte=None):
    f, t = R.choice(NAMES), R.choice(NAMES)
    d = R.choice(DOMS)
    mid = "%x.%x@%s" % (R.getrandbits(48), R.getrandbits(32), d)
    h = []
    for i in range(R.randint(1, 3)):
        h.append(
            "Received: from mx%d.%s (mx%d.%s [192.0.2.%d])\r\n\tby relay%d.%s (Postfix) with ESMTPS id %X\r\n"
            "\tfor <%s@example.test>; Thu, 29 Feb 2024 1%d:%02d:%02d +0900 (JST)"
            % (i, d, i, d, R.randint(1, 254), i, d, R.getrandbits(40), t, i, R.randint(0, 59), R.randint(0, 59))
        )
    h.append(
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=%s; s=s1;\r\n\tt=1709170000; "
        "h=from:to:subject:date:message-id:mime-version:content-type;\r\n\tbh=%s;\r\n\tb=%s"
        % (
            d,
            base64.b64encode(R.randbytes(32)).decode(),
            "\r\n\t ".join(base64.b64encode(R.randbytes(48)).decode() for _ in range(4)),
        )
    )
    h += [
        "Date: Thu, 29 Feb 2024 1%d:%02d:%02d +0900" % (R.randint(0, 9), R.randint(0, 59), R.randint(0, 59)),
        "From: %s <%s@%s>" % (f.title(), f, d),
        "To: <%s@example.test>" % t,
        "Message-ID: <%s>" % mid,
        "Subject: " + subject,
        "MIME-Version: 1.0",
        "X-Mailer: Mailer %d.%d" % (R.randint(1, 9), R.randint(0, 9)),
        "Content-Type: " + ctype,
    ]
    if cte:
        h.append("Content-Transfer-Encoding: " + cte)
    return ("\r\n".join(h) + "\r\n\r\n").encode()


def subj(ja):
    if ja:
        return "=?ISO-2022-JP?B?%s?=" % base64.b64encode("".join(words(4, JA)).encode("iso2022_jp")).decode()
    return " ".join(words(R.randint(3, 8), EN)).capitalize()


def text_body(size, ja):
    out = b""
    while len(out) < size:
        if ja:
            out += (para(R.randint(4, 8), JA) + "\r\n").encode("iso2022_jp")
        else:
            out += (para(R.randint(6, 11), EN) + "\r\n").encode()
        if R.random() < 0.06:
            out += url().encode() + b"\r\n"
        if R.random() < 0.10:
            out += b"\r\n"
    return out


def html_body(size, ja):
    src = JA if ja else EN
    out = [
        '<html><head><meta charset="utf-8"><title>%s</title><style>td{font:13px Arial;color:#333}</style></head>'
        '<body bgcolor="#ffffff"><table width="600" cellpadding="0" cellspacing="0">' % para(4, src)
    ]
    n = 0
    while n < size:
        row = (
            '<tr><td style="padding:8px 12px"><a href="%s"><img src="%s" width="120" height="80" alt="%s"></a></td>'
            "<td><h3>%s</h3><p>%s &nbsp;<b>%s</b> &amp; %s</p></td></tr>\n"
            % (url(), url(), R.choice(src), para(5, src), para(30, src), R.choice(src), para(12, src))
        )
        out.append(row)
        n += len(row.encode())
    out.append('<tr><td><img src="%s" width="1" height="1"></td></tr></table></body></html>' % url())
    return "\n".join(out).encode()


def qp(b):
    return quopri.encodestring(b).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def m2k():
    ja = R.random() < 0.4
    head = headers(subj(ja), "text/plain; charset=%s" % ("ISO-2022-JP" if ja else "us-ascii"), "7bit")
    return head + text_body(max(200, 2048 - len(head)), ja)


def alt(size, b):
    ja = R.random() < 0.4
    html = html_body(int(size * (0.33 if ja else 0.80)), ja)  # encoded size differs by script
    text = text_body(size // 10, False)
    return (
        b"--%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n%s\r\n--%s\r\nContent-Type: text/html; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: %s\r\n\r\n%s\r\n--%s--\r\n"
        % (b, text, b, b"base64" if ja else b"quoted-printable", b64(html) if ja else qp(html), b)
    )


def m20k():
    b = b"=_alt_%x" % R.getrandbits(64)
    return headers(subj(False), 'multipart/alternative; boundary="%s"' % b.decode()) + alt(22000, b)


def m200k():
    b = b"=_mix_%x" % R.getrandbits(64)
    a = b"=_alt_%x" % R.getrandbits(64)
    pdf = (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n"
        + zlib.compress(text_body(120000, False), 6)
        + R.randbytes(40000)
        + b"\n%%EOF\n"
    )
    name = "report%d" % R.randint(1, 99)
    payload = R.randbytes(70000)
    zipb = (
        b"PK\x03\x04\x14\x00\x00\x00\x00\x00"
        + b"\x00" * 4
        + zlib.crc32(payload).to_bytes(4, "little")
        + len(payload).to_bytes(4, "little") * 2
        + b"\x08\x00\x00\x00data.bin"
        + payload
    )
    pdf = pdf[:72000]
    return (
        headers(subj(True), 'multipart/mixed; boundary="%s"' % b.decode())
        + b'--%s\r\nContent-Type: multipart/alternative; boundary="%s"\r\n\r\n' % (b, a)
        + alt(6000, a)
        + b'--%s\r\nContent-Type: application/pdf; name="%s.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
        b'Content-Disposition: attachment; filename="%s.pdf"\r\n\r\n' % (b, name.encode(), name.encode())
        + b64(pdf)
        + b'\r\n--%s\r\nContent-Type: application/zip; name="%s.zip"\r\nContent-Transfer-Encoding: base64\r\n'
        b'Content-Disposition: attachment; filename="%s.zip"\r\n\r\n' % (b, name.encode(), name.encode())
        + b64(zipb)
        + b"\r\n--%s--\r\n" % b
    )


def main():
    d = sys.argv[1]
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    for cls, fn in (("2k", m2k), ("20k", m20k), ("200k", m200k)):
        os.makedirs(os.path.join(d, cls), exist_ok=True)
        tot = 0
        for i in range(n):
            m = fn()
            tot += len(m)
            with open(os.path.join(d, cls, "%04d.eml" % i), "wb") as f:
                f.write(m)
        print(cls, n, "messages, mean", tot // n, "bytes")


main()
