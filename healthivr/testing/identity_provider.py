"""An identity provider on this machine: a real server that signs real tokens, keeps to the protocol as strictly as one
may, and lies when a test asks it to."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from accounts.oidc import provider as our_side

CLIENT_ID, CLIENT_SECRET = "healthivr-client", "what it gave us"
Claims = dict[str, Any]


def _base64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def _encoded(*parts: Claims) -> str:
    """Return the parts of a token before its signature."""
    return ".".join(_base64(json.dumps(part).encode()) for part in parts)


class _Handler(BaseHTTPRequestHandler):
    server: "IdentityProvider"

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer(self.server.look_up(self.path))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(self.server.exchange(dict(parse_qsl(body)), self.headers.get("Authorization", "")))

    def _answer(self, answer: tuple[int, Any]) -> None:
        path = urlsplit(self.path).path
        self.server.asked.append(path)
        status, body = self.server.wrong.get(path, answer)
        time.sleep(self.server.slow.get(path, 0))
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self.send_response(status)
            if status == 302:
                self.send_header("Location", body["to"])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)
        except BrokenPipeError:
            """Nobody waits any more."""


class IdentityProvider(ThreadingHTTPServer):
    """Who signs people in elsewhere."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.algorithm = "RS256"
        self.keys: list[Any] = [RSAKey.generate_key(2048, {"kid": "first"})]
        #: What a path answers instead, and how late.
        self.wrong: dict[str, tuple[int, Any]] = {}
        self.slow: dict[str, float] = {}
        self.asked: list[str] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.people: dict[str, Claims] = {}
        #: Changes the claims of a token before it is signed; signs it in another way.
        self.claim: Callable[[Claims], Claims] = lambda claims: claims
        self.sign: Callable[[Claims], str] = self.sign_as_usual
        self.metadata: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    # --- what it answers over the wire
    def look_up(self, path: str) -> tuple[int, Any]:
        """Answer a GET."""
        known = {
            "/.well-known/openid-configuration": self.metadata,
            "/keys": {"keys": [key.as_dict(private=False, use="sig") for key in self.keys]},
        }
        return (200, known[path]) if path in known else (404, {})

    def exchange(self, form: dict[str, str], authorization: str) -> tuple[int, Any]:
        """Exchange a code for tokens, once, for who proves to be our client and the one who asked for it."""
        if authorization != "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode():
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = _base64(digest)
        if (
            asked is None
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != form["redirect_uri"]
            or form["grant_type"] != "authorization_code"
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        token = self.sign(self.claim({**claims, **self.people[asked["person"]]}))
        return 200, {"access_token": secrets.token_urlsafe(), "token_type": "Bearer", "id_token": token}

    # --- signing
    def sign_as_usual(self, claims: Claims) -> str:
        """Sign by the newest key."""
        return self.sign_by(self.keys[-1], claims)

    def sign_by(self, key: Any, claims: Claims, *, algorithm: str = "") -> str:
        """Sign by a key of one's choice."""
        header = {"alg": algorithm or self.algorithm, "kid": key.kid}
        return jwt.encode(header, claims, key, algorithms=[header["alg"]])

    def unsigned(self, claims: Claims) -> str:
        """Return a token without a signature (RFC 8725 2.1)."""
        return f"{_encoded({'alg': 'none', 'kid': 'first'}, claims)}."

    def signed_by_public_key(self, claims: Claims) -> str:
        """Return a token whose "secret" is the key that everybody can read (RFC 8725 2.1)."""
        public, signed = self.keys[0].as_pem(private=False), _encoded({"alg": "HS256", "kid": "first"}, claims)
        return f"{signed}.{_base64(hmac.digest(public, signed.encode(), hashlib.sha256))}"

    def rotate(self, key: Any = None) -> None:
        """Sign with another key from now on, and publish that one alone."""
        self.keys = [key or RSAKey.generate_key(2048, {"kid": secrets.token_hex(4)})]

    # --- what a person does there
    def knows(self, person: str, **claims: Any) -> None:
        """Have an account."""
        self.people[person] = {"sub": f"sub-of-{person}", **claims}

    def sign_in(self, person: str, asked: str, **more: str) -> str:
        """Sign in as somebody at an address that we led to. Returns the path that the browser comes back to."""
        parts = urlsplit(asked)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == self.metadata["authorization_endpoint"]
        assert (query["client_id"], query["response_type"], query["scope"]) == (CLIENT_ID, "code", "openid email")
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe()
        self.codes[code] = {**query, "person": person}
        back = urlsplit(query["redirect_uri"])
        return f"{back.path}?{urlencode({'code': code, 'state': query['state'], **more})}"


@pytest.fixture
def provider(settings: Any) -> Iterator[IdentityProvider]:
    """An identity provider that the settings name, in which Mia has an account."""
    our_side.forget()
    with IdentityProvider() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        server.knows("mia", email="mia@example.org", email_verified=True)
        settings.OIDC_ISSUER = server.issuer
        settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = CLIENT_ID, CLIENT_SECRET
        settings.OIDC_NAME = "Clinic ID"
        yield server
        server.shutdown()
