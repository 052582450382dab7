"""What .ci/check-mail does, with aiosmtpd: see there."""

import email
import email.policy
import logging
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import warnings

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

PROGRAM, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
USER, PASSWORD = "ci@example.com", "p@ss/wörd"
LOGIN = "ci%40example.com:p%40ss%2Fw%C3%B6rd@"
WRONG = "ci%40example.com:wrong@"
SUBJECTS = {
    "failed": "FAILED 3/120: Nightly Regression #42",
    "still-failing": "FAILED 3/120: Nightly Regression #42",
    "recovered": "RECOVERED 120/120: Nightly Regression #42",
    "broken": "RUN FAILED: Nightly Regression #42",
}
FIRST_LINES = {
    "failed": "3 of 120 tests failed",
    "still-failing": "3 of 120 tests failed, still failing (4th run)",
    "recovered": "All 120 tests passed, recovered after 4 failed runs",
    "broken": "The run could not be carried out",
}
THREAD = "<schedule.00000000-0000-0000-0000-000000000005@testrun.example.com>"


class Inbox:
    """Keeps what arrives, and how."""

    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):
        assert envelope.rcpt_tos == ["team@example.com"], envelope.rcpt_tos
        is_encrypted = server.transport.get_extra_info("sslcontext") is not None
        self.mails.append((bytes(envelope.original_content), is_encrypted, bool(session.authenticated)))
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=good, handled=False)


def certificates(folder):
    """An authority of our own and a certificate by it for localhost."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "server"):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
    openssl("req", "-x509", "-new", "-key", "ca.key", "-days", "1", "-subj", "/CN=Test authority", "-out", "ca.pem")
    openssl("req", "-new", "-key", "server.key", "-subj", "/CN=localhost", "-out", "server.csr")
    names = pathlib.Path(folder, "names")
    names.write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "1", "-extfile", "names", "-out", "server.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pathlib.Path(folder, "server.pem"), pathlib.Path(folder, "server.key"))
    return context, str(pathlib.Path(folder, "ca.pem"))


def send(url, authority):
    """Runs the program; returns whether all was sent, and what it said."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    settings = {"SMTP_URL": url, "MAIL_FROM": "Testrun <ci@testrun.example.com>"}
    if authority:
        settings["SSL_CERT_FILE"] = authority
    done = subprocess.run([PROGRAM], env=kept | settings, capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    assert "wörd" not in said and "w%C3" not in said and "wrong" not in said, said
    return done.returncode == 0, said


def check(raw):
    """What Python makes of a mail; keeps it and its HTML part. Returns the sample's name."""
    assert max(map(len, raw.split(b"\r\n"))) <= 998 and raw.isascii()
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    parts = list(mail.walk())
    assert [defect for part in parts for defect in part.defects] == []
    assert [defect for part in parts for value in part.values() for defect in value.defects] == []
    assert [part.get_content_type() for part in parts] == ["multipart/alternative", "text/plain", "text/html"]
    name = mail["Message-ID"][1:].split("@")[0]
    text, html = (mail.get_body([kind]).get_content() for kind in ("plain", "html"))
    unsubscribe = "https://testrun.example.com/api/v1/unsubscribe/4f0c2b6e-8d0a-4a83-9b57-1c1f6a1d2e3f"
    seen = {
        "subject": mail["Subject"],
        "first line": text.splitlines()[0],
        "thread": (mail["References"], mail["In-Reply-To"]),
        "unsubscribe": (mail["List-Unsubscribe"], mail["List-Unsubscribe-Post"]),
        "date": mail["Date"].datetime.isoformat(),
        "from": mail["From"].addresses[0].addr_spec,
        "to": mail["To"].addresses[0].addr_spec,
        "names": all("Web shop – Überall" in part for part in (text, html)),
    }
    assert seen == {
        "subject": SUBJECTS[name],
        "first line": FIRST_LINES[name],
        "thread": (THREAD, THREAD),
        "unsubscribe": (f"<{unsubscribe}>", "List-Unsubscribe=One-Click"),
        "date": "2026-11-22T02:15:29+00:00",
        "from": "ci@testrun.example.com",
        "to": "team@example.com",
        "names": True,
    }, seen
    (FOLDER / f"{name}.eml").write_bytes(raw)
    (FOLDER / f"{name}.html").write_text(html)
    return name


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def main():
    # The server is told wrong things on purpose; what it says of them is noise.
    logging.disable()
    warnings.simplefilter("ignore")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        context, authority = certificates(folder)
        logins = {"authenticator": authenticate, "auth_required": True}
        # To aiosmtpd a login needs STARTTLS, even where TLS was there before.
        tls = {"ssl_context": context, "auth_require_tls": False} | logins
        starttls = {"tls_context": context, "require_starttls": True} | logins
        required = "localhost:{}?tls=required"
        for what, settings, url, trusted, expected in [
            ("no encryption", {}, "smtp://localhost:{}", None, (False, False)),
            ("STARTTLS and login", starttls, f"smtp://{LOGIN}{required}", authority, (True, True)),
            ("STARTTLS if offered", starttls, f"smtp://{LOGIN}localhost:{{}}?tls=opportunistic", authority, (True, True)),
            ("TLS and login", tls, f"smtps://{LOGIN}localhost:{{}}", authority, (True, True)),
            ("a wrong password", starttls, f"smtp://{WRONG}{required}", authority, "535"),
            ("no login", starttls, f"smtp://{required}", authority, "530"),
            ("an unknown authority, STARTTLS", starttls, f"smtp://{LOGIN}{required}", None, "certificate"),
            ("an unknown authority, TLS", tls, f"smtps://{LOGIN}localhost:{{}}", None, "certificate"),
            ("another name", starttls, f"smtp://{LOGIN}127.0.0.1:{{}}?tls=required", authority, "certificate"),
            ("STARTTLS of a server without", {}, f"smtp://{required}", authority, "STARTTLS"),
        ]:
            inbox = Inbox()
            server = Controller(inbox, hostname="127.0.0.1", port=free_port(), **settings)
            server.start()
            try:
                sent, said = send(url.format(server.port), trusted)
            finally:
                server.stop()
            if isinstance(expected, str):
                assert not sent and expected.lower() in said.lower() and inbox.mails == [], (what, said)
                print(f"{what}: refused: {said.strip().splitlines()[-1].strip()}")
            else:
                assert sent, (what, said)
                assert [mail[1:] for mail in inbox.mails] == [expected] * len(SUBJECTS), (what, inbox.mails)
                assert {check(raw) for raw, *_ in inbox.mails} == set(SUBJECTS)
                print(f"{what}: arrived")
    print(f"what arrived is in {FOLDER}")


main()
