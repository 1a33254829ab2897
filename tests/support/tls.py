"""A certificate for tests: for 127.0.0.1, and vouching for itself."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Certificate:
    """Two PEM files."""

    path: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """By the openssl command. Without it: skips the test on a laptop, fails it in CI."""
    if not shutil.which("openssl"):
        message = "NO OPENSSL: this test needs the openssl command"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(made.key), "-out", str(made.path)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return made


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """For a server that shows it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.path, certificate.key)
    return context
