"""A small OpenID provider that runs: discovery, keys, log-in without a form, tokens (RS256), userinfo. It can lie."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID, CLIENT_SECRET = "downhaul", "a secret of two"

Claims = dict[str, Any]


@cache
def rsa_key(name: str, owner: str = "provider") -> RSAKey:
    """A key; there are several of the same name when others make them. Made once: it takes a while."""
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig"})


@dataclass
class OpenIdProvider:
    """Started by `with`. Everything that it says can be changed between two log-ins."""

    user: Claims = field(default_factory=lambda: {"sub": "0815", "preferred_username": "ada", "name": "Ada Lovelace"})
    groups: list[str] | None = field(default_factory=lambda: ["flag-editors"])
    in_userinfo: bool = False
    """Whether it tells the groups beside the token only."""
    alter: Callable[[Claims], Claims] = lambda claims: claims
    """The last word on the ID token's claims."""
    sign: Callable[[OpenIdProvider, Claims], str] | None = None
    """Makes the ID token, in place of the provider."""
    metadata: Claims = field(default_factory=dict)
    """What its discovery document says otherwise."""
    userinfo: Claims = field(default_factory=dict)
    broken: bool = False
    """Answers 500 to everything."""

    def __post_init__(self) -> None:
        self.key = rsa_key("first")
        self.published = [self.key]
        self.codes: dict[str, Claims] = {}
        self.asked: list[tuple[str, str]] = []
        """(method, path) of each request."""
        self._tokens: dict[str, Claims] = {}

    def __enter__(self) -> OpenIdProvider:
        handler = type("Handler", (_Handler,), {"provider": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def log_in(self, url: str) -> str:
        """What the browser does at the address that it was sent to: the address to which it is sent back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code" and asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256" and asked["nonce"] and asked["state"]
        code = secrets.token_hex(8)
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state'], 'iss': self.issuer})}"

    def discovery(self) -> Claims:
        paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        endpoints = {name: f"{self.issuer}/{path}" for name, path in paths.items()}
        more = {"issuer": self.issuer, "authorization_response_iss_parameter_supported": True}
        return endpoints | more | {"userinfo_endpoint": f"{self.issuer}/userinfo"} | self.metadata

    def exchange(self, form: dict[str, str], authorization: str) -> tuple[int, Claims]:
        """A code for tokens; once, for the client with the secret, and with what the challenge was made from."""
        asked = self.codes.pop(form.get("code", ""), None)
        expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".replace(" ", "%20").encode()).decode()
        plain = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if authorization.removeprefix("Basic ") not in (expected, plain):
            return 401, {"error": "invalid_client"}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            asked is None
            or form.get("redirect_uri") != asked["redirect_uri"]
            or base64.urlsafe_b64encode(digest).decode().rstrip("=") != asked["code_challenge"]
        ):
            return 400, {"error": "invalid_grant"}
        moment = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": moment, "exp": moment + 300, "nonce": asked["nonce"]}
        claims |= self.user
        if self.groups is not None and not self.in_userinfo:
            claims["groups"] = self.groups
        access = secrets.token_hex(16)
        self._tokens[access] = {"groups": self.groups or []} | self.user | self.userinfo
        claims = self.alter(claims)
        token = self.sign(self, claims) if self.sign else self.signed(claims)
        return 200, {"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": token}

    def signed(self, claims: Claims, key: RSAKey | None = None, **header: Any) -> str:
        key = key or self.key
        return jwt.encode({"alg": "RS256", "kid": key.kid, **header}, claims, key)

    def unsigned(self, claims: Claims) -> str:
        """`alg: none`."""
        return f"{_part({'alg': 'none', 'kid': self.key.kid})}.{_part(claims)}."

    def signed_with_public_key(self, claims: Claims) -> str:
        """HS256 with what everybody knows as the secret."""
        signed = f"{_part({'alg': 'HS256', 'kid': self.key.kid})}.{_part(claims)}"
        digest = hmac.digest(self.key.as_pem(private=False), signed.encode(), "sha256")
        return f"{signed}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"

    def told(self, authorization: str) -> Claims | None:
        return self._tokens.get(authorization.removeprefix("Bearer "))


class _Handler(BaseHTTPRequestHandler):
    provider: OpenIdProvider

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.provider.asked.append(("GET", path))
        if self.provider.broken:
            self._answer(500, {})
        elif path == "/.well-known/openid-configuration":
            self._answer(200, self.provider.discovery())
        elif path == "/keys":
            self._answer(200, {"keys": [key.as_dict(private=False) for key in self.provider.published]})
        elif path == "/authorize":
            self.send_response(302)
            self.send_header("Location", self.provider.log_in(self.path))
            self.end_headers()
        elif path == "/userinfo" and (told := self.provider.told(self.headers.get("Authorization", ""))):
            self._answer(200, told)
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        self.provider.asked.append(("POST", self.path))
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        if self.provider.broken:
            self._answer(500, {})
        else:
            self._answer(*self.provider.exchange(form, self.headers.get("Authorization", "")))

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def _answer(self, status: int, document: Claims) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _part(document: Claims) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")
