"""Sends the mails of a list by Python's smtplib: `smtplib_send.py PORT LIST`.

LIST has a line for each mail: id, recipient, file, tab-separated. Prints id, tab, code for each; code 0
is a session that broke. Fifty mails a session, then a new one.
"""

import smtplib
import sys

PER_SESSION = 50


def main():
    port, listing = int(sys.argv[1]), sys.argv[2]
    session, used = None, 0
    with open(listing, encoding="utf-8") as lines:
        for line in lines:
            name, recipient, path = line.rstrip("\n").split("\t")
            with open(path, "rb") as mail:
                content = mail.read()
            if session is None or used >= PER_SESSION:
                if session is not None:
                    session.quit()
                session, used = smtplib.SMTP("127.0.0.1", port, "smtplib.example.com", timeout=120), 0
            used += 1
            code = 0
            try:
                options = [] if content.isascii() else ["BODY=8BITMIME"]
                session.sendmail("sender@example.com", [recipient], content, options)
                code = 250
            except smtplib.SMTPRecipientsRefused as refused:
                code = next(iter(refused.recipients.values()))[0]
            except smtplib.SMTPResponseException as refused:
                code = refused.smtp_code
            except (smtplib.SMTPServerDisconnected, OSError):
                session = None
            print(f"{name}\t{code}", flush=True)
            if code == 421:
                session = None
    if session is not None:
        session.quit()


main()
