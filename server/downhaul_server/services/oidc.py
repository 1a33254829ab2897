"""Logging in by OpenID Connect: the code flow with PKCE, state and nonce, by Authlib.

What has to be remembered meanwhile lies in Redis for ten minutes, under the digest of a secret that only the browser
which began has in a cookie; it is given out once. So an answer can be used once, and by that browser alone.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import structlog
from authlib.common.security import generate_token  # type: ignore[import-untyped]
from authlib.integrations.base_client.errors import OAuthError  # type: ignore[import-untyped]
from authlib.integrations.requests_client import OAuth2Session  # type: ignore[import-untyped]
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet

from downhaul_server.services.access import store_errors
from downhaul_server.services.actors import Actor
from downhaul_server.services.errors import Unauthenticated, Unavailable
from downhaul_server.services.logins import Logins
from downhaul_server.signing_in import Provider, is_this_machine
from downhaul_server.store import Store

log = structlog.get_logger(__name__)

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signed with a key that only the provider has; never `none`, never with a secret that two know."""
TIMEOUT_S = (3.05, 10.0)
LASTS_S = 600
METADATA_S = 3600.0
KEYS_S = 30.0
"""A token that is signed with a key that we do not know makes us ask for the keys, at most so often."""
LEEWAY_S = 60
GROUPS_MAX = 1000
STALE = "this log-in was not begun in this browser, or was used already, or took too long; begin again"

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Begun:
    """Where the browser goes, and what it keeps meanwhile, for so many seconds."""

    url: str
    secret: str
    lasts_s: int = LASTS_S


class _ProviderFault(Exception):  # noqa: N818
    """What the provider answered cannot be trusted. The text is for our log."""


class OpenId:
    """The relying party of one process."""

    def __init__(self, store: Store, provider: Provider, logins: Logins) -> None:
        self._store = store
        self.provider = provider
        self._logins = logins
        self._lock = threading.Lock()
        self._metadata: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def begin(self, redirect_uri: str, wanted: str) -> Begun:
        """Raises Unavailable when the provider, or Redis, does not answer."""
        with self._provider_errors():
            endpoint = self._discovered()["authorization_endpoint"]
        secret, state, nonce, verifier = (generate_token(48) for _ in range(4))
        with self._client(redirect_uri) as client:
            url, _ = client.create_authorization_url(endpoint, state=state, nonce=nonce, code_verifier=verifier)
        record = {"state": state, "nonce": nonce, "verifier": verifier, "redirect": redirect_uri, "next": wanted}
        with store_errors(), self._store.asking():
            self._store.sessions.begin_sign_in(_digest(secret), record, LASTS_S)
        return Begun(url, secret)

    def finish(self, secret: str | None, answer: Mapping[str, str]) -> tuple[Actor, str]:
        """Who came back from the provider, with `answer` in the address, and where they wanted to go.

        Raises Unauthenticated, Forbidden, Unavailable.
        """
        begun = self._taken(secret)
        if begun is None or not secrets.compare_digest(answer.get("state", "").encode(), begun["state"].encode()):
            raise Unauthenticated(STALE)
        if "error" in answer:
            said = answer.get("error_description") or answer["error"]
            raise Unauthenticated(f"{self.provider.name} has not let you in: {said[:200]}")
        with self._provider_errors():
            self._check_sender(answer)
            claims = self._claims(answer.get("code", ""), begun)
        return self._logins.arrive(self._identity(claims)), begun["next"]

    def _taken(self, secret: str | None) -> dict[str, Any] | None:
        if not secret:
            return None
        with store_errors(), self._store.asking():
            return self._store.sessions.take_sign_in(_digest(secret))

    def _check_sender(self, answer: Mapping[str, str]) -> None:
        """RFC 9207: an answer says whose it is, so that one provider's cannot be passed off as another's."""
        promised = self._discovered().get("authorization_response_iss_parameter_supported", False)
        if answer.get("iss", self.provider.issuer if not promised else None) != self.provider.issuer:
            raise _ProviderFault("the answer comes from another issuer")

    def _claims(self, code: str, begun: Mapping[str, str]) -> dict[str, Any]:
        metadata = self._discovered()
        with self._client(begun["redirect"]) as client:
            token = client.fetch_token(
                metadata["token_endpoint"],
                grant_type="authorization_code",
                code=code,
                code_verifier=begun["verifier"],
                allow_redirects=False,
            )
            claims = self._checked(token, begun["nonce"])
            if _at(claims, self.provider.groups_claim) is None and "userinfo_endpoint" in metadata:
                more = client.get(metadata["userinfo_endpoint"], allow_redirects=False)
                claims = _joined(claims, more)
        return claims

    def _checked(self, token: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        """The claims of the ID token: its signature, and that it was made by this provider, for us, now, for this."""
        text = token.get("id_token")
        if not isinstance(text, str):
            raise _ProviderFault("there is no ID token")
        decoded = jwt.decode(text, lambda part: self._key(part.headers()), algorithms=[*ALGORITHMS])
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            options={
                "iss": {"essential": True, "value": self.provider.issuer},
                "aud": {"essential": True, "value": self.provider.client_id},
                "exp": {"essential": True},
                "nonce": {"essential": True, "value": nonce},
            },
            params={"nonce": nonce, "client_id": self.provider.client_id, "access_token": token.get("access_token")},
        )
        claims.validate(leeway=LEEWAY_S)
        if not isinstance(claims["sub"], str) or not 1 <= len(claims["sub"]) <= 255:
            raise _ProviderFault("the subject is none")
        return dict(claims)

    def _identity(self, claims: Claims) -> dict[str, Any]:
        name, email = (_text(claims.get(claim)) for claim in ("name", "email"))
        login = _text(claims.get("preferred_username")) or email or claims["sub"]
        groups = _at(claims, self.provider.groups_claim)
        listed = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        grants = self.provider.grants([group for group in listed[:GROUPS_MAX] if isinstance(group, str)])
        if not grants:
            log.warning("no group counts here", login=login, claim=self.provider.groups_claim, groups=listed[:20])
        return {
            "issuer": self.provider.issuer,
            "subject": claims["sub"],
            "login": login,
            "name": name or login,
            "email": email,
            "grants": grants,
        }

    # The provider's side.

    def _client(self, redirect_uri: str) -> OAuth2Session:
        supported = (self._metadata[1] if self._metadata else {}).get("token_endpoint_auth_methods_supported")
        method = "client_secret_basic"
        if self.provider.client_secret is None:
            method = "none"
        elif supported and method not in supported:
            method = "client_secret_post"
        return OAuth2Session(
            self.provider.client_id,
            self.provider.client_secret,
            scope=self.provider.scopes,
            redirect_uri=redirect_uri,
            token_endpoint_auth_method=method,
            code_challenge_method="S256",
            default_timeout=TIMEOUT_S,
        )

    def _discovered(self) -> dict[str, Any]:
        """The provider's metadata."""
        with self._lock:
            known = self._metadata
        if known and time.monotonic() - known[0] < METADATA_S:
            return known[1]
        found = _json(f"{self.provider.issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self.provider.issuer:
            raise _ProviderFault(f"its discovery document says that it is {found.get('issuer')!r}")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            _check_endpoint(name, found.get(name))
        if "userinfo_endpoint" in found:
            _check_endpoint("userinfo_endpoint", found["userinfo_endpoint"])
        with self._lock:
            self._metadata = (time.monotonic(), found)
        return found

    def _key(self, header: Mapping[str, Any]) -> Key:
        """The provider's key that a token says it is signed with."""
        with self._lock:
            known = self._keys
        key = _pick(known[1], header) if known else None
        if key is None and (known is None or time.monotonic() - known[0] >= KEYS_S):
            found = KeySet.import_key_set(_json(self._discovered()["jwks_uri"]))  # type: ignore[arg-type]
            with self._lock:
                self._keys = (time.monotonic(), found)
            key = _pick(found, header)
        if key is None:
            raise _ProviderFault("the ID token is signed with an unknown key")
        return key

    @contextmanager
    def _provider_errors(self) -> Any:
        """What goes wrong with the provider: our log has the story, the browser a sentence."""
        try:
            yield
        except OAuthError as error:
            log.warning("the provider refuses", issuer=self.provider.issuer, error=error.error)
            raise Unauthenticated(f"{self.provider.name} has not accepted the log-in; begin again") from error
        except (JoseError, _ProviderFault) as error:
            log.error("the provider's answer is wrong", issuer=self.provider.issuer, fault=str(error))
            raise Unauthenticated(f"what {self.provider.name} answered cannot be trusted") from error
        except (requests.RequestException, KeyError, TypeError, ValueError) as error:
            log.error("the provider does not answer", issuer=self.provider.issuer, fault=f"{type(error).__name__}")
            raise Unavailable(
                f"{self.provider.name} does not answer now; passwords and tokens work without it"
            ) from error


def _json(url: str) -> dict[str, Any]:
    answer = requests.get(url, timeout=TIMEOUT_S, allow_redirects=False)
    answer.raise_for_status()
    found = answer.json()
    if not isinstance(found, dict):
        raise _ProviderFault(f"{url} holds no object")
    return found


def _check_endpoint(name: str, url: Any) -> None:
    parts = urlsplit(url if isinstance(url, str) else "")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_this_machine(parts.hostname or "")):
        raise _ProviderFault(f"its {name} is not https")


def _pick(keys: KeySet, header: Mapping[str, Any]) -> Key | None:
    """By its id; without one, the only key that there is."""
    signing = [key for key in keys.keys if key.get("use") in (None, "sig") and key.key_type != "oct"]
    if header.get("kid") is None:
        return signing[0] if len(signing) == 1 else None
    return next((key for key in signing if key.kid == header["kid"]), None)


def _joined(claims: dict[str, Any], answer: requests.Response) -> dict[str, Any]:
    """With what the provider tells beside the token; of the same person only."""
    answer.raise_for_status()
    more = answer.json()
    if not isinstance(more, dict) or more.get("sub") != claims["sub"]:
        raise _ProviderFault("its userinfo is somebody else's")
    return more | claims


def _at(claims: Claims, path: str) -> Any:
    """`realm_access.roles`: into objects, unless there is a claim of just that name (a URL has dots too)."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    return "".join(letter for letter in text if letter.isprintable()).strip()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
