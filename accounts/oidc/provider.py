"""What is said to the identity provider, and what is believed of its answers.

The protocol is Authlib's: the request, the client's proof, the metadata, the claims. The signature is joserfc's. Ours is
what goes over the wire: one provider, that of the settings; no redirect is followed; each answer has its time and size.
Tokens live in local variables of one request, and are neither stored nor logged.
"""

import json
import time
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import structlog
from authlib.oauth2 import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata, get_well_known_url
from django.conf import settings
from django.urls import reverse
from joserfc import jwt
from joserfc.errors import BadSignatureError, ExpiredTokenError, InvalidClaimError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from accounts.models.identities import SUBJECT_LENGTH

from .errors import ExternalClock, ExternalExpired, ExternalInvalid, ExternalUnavailable

log = structlog.get_logger(__name__)

#: Of each answer, in seconds.
TIMEOUT = 5.0
MOST_BYTES = 256 * 1024
#: By how many seconds the provider's clock may differ from ours.
LEEWAY = 60
#: How long the provider's metadata and keys are kept, in this process alone: whoever can write to a shared cache could
#: otherwise sign for the provider. A key that is not among them is asked for at once.
KEPT_SECONDS = 600.0
SCOPE = "openid email"
#: What the libraries raise over answers that are not of the expected form, beside their own errors.
_MISSHAPEN = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
_kept: dict[str, tuple[float, dict[str, Any]]] = {}


@dataclass(frozen=True)
class Assertion:
    """What the provider vouches for."""

    subject: str
    #: As the provider spells it; empty unless it says that it has verified it.
    email: str


# --- over the wire ---------------------------------------------------------------------------------------------------
class _NoRedirects(HTTPRedirectHandler):
    """A provider that answers elsewhere is not the one that the settings name."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


_opener = build_opener(_NoRedirects)


def _ask(url: str, *, body: str | None = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the JSON object at an address of the provider. Raises HTTPError for what is not 200, ExternalUnavailable."""
    # The scheme is that of the issuer in the settings: _metadata() has seen to it.
    request = Request(  # noqa: S310
        url,
        data=body.encode() if body is not None else None,
        headers={"Accept": "application/json", "User-Agent": "healthivr", **(headers or {})},
    )
    ends = time.monotonic() + TIMEOUT
    try:
        with _opener.open(request, timeout=TIMEOUT) as response:
            received = b""
            while part := response.read1(64 * 1024):
                received += part
                if len(received) > MOST_BYTES or time.monotonic() > ends:
                    raise _unavailable(url, "too much or too slow")
        answer = json.loads(received)
    except HTTPError as error:
        error.close()
        raise
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        raise _unavailable(url, type(error).__name__) from None
    if not isinstance(answer, dict):
        raise _unavailable(url, "no object")
    return answer


def _unavailable(url: str, reason: str) -> ExternalUnavailable:
    log.warning("identity_provider_failed", host=urlsplit(url).hostname, reason=reason)
    return ExternalUnavailable()


def _read(url: str, *, anew: bool = False) -> dict[str, Any]:
    """Return what stands at an address, as read within the last minutes unless `anew`."""
    until, answer = _kept.get(url, (0.0, {}))
    if anew or time.monotonic() > until:
        try:
            answer = _ask(url)
        except HTTPError as error:
            raise _unavailable(url, f"HTTP {error.code}") from None
        _kept[url] = (time.monotonic() + KEPT_SECONDS, answer)
    return answer


def forget() -> None:
    """Read the provider's metadata and keys anew when they are next needed."""
    _kept.clear()


def _metadata() -> dict[str, Any]:
    """Return where the provider is reached (OpenID Connect Discovery 4). Raises ExternalUnavailable."""
    issuer = settings.OIDC_ISSUER
    url = get_well_known_url(issuer, external=True)
    metadata: dict[str, Any] = OpenIDProviderMetadata(_read(url))
    try:
        metadata.validate()  # type: ignore[attr-defined]
        places = [urlsplit(metadata[name]) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
    except _MISSHAPEN:
        raise _unavailable(url, "metadata") from None
    if metadata["issuer"] != issuer or {place.scheme for place in places} != {urlsplit(issuer).scheme}:
        raise _unavailable(url, "metadata of another issuer, or without TLS")
    return metadata


# --- the two steps ---------------------------------------------------------------------------------------------------
def _our_address() -> str:
    return settings.BASE_URL + reverse("accounts:external_callback")


def authorization_url(*, state: str, nonce: str, verifier: str, asks_which_account: bool = False) -> str:
    """Return where a browser goes to sign in; to choose an account there anew, if it `asks_which_account`. Raises
    ExternalUnavailable."""
    url: str = prepare_grant_uri(
        _metadata()["authorization_endpoint"],
        client_id=settings.OIDC_CLIENT_ID,
        response_type="code",
        redirect_uri=_our_address(),
        scope=SCOPE,
        state=state,
        nonce=nonce,
        code_challenge=create_s256_code_challenge(verifier),
        code_challenge_method="S256",
        prompt="select_account" if asks_which_account else None,  # else who is signed in there comes back as the same
    )
    return url


def redeem(*, code: str, verifier: str, nonce: str, at: datetime) -> Assertion:
    """Exchange the code that a browser came back with for what the provider vouches for. Raises ExternalExpired for a
    code that it does not take, ExternalUnavailable, ExternalClock, ExternalInvalid."""
    metadata = _metadata()
    known = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    way = "client_secret_basic" if "client_secret_basic" in known else "client_secret_post"
    client = ClientAuth(settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET, way)
    body = prepare_token_request("authorization_code", redirect_uri=_our_address(), code=code, code_verifier=verifier)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    url, headers, body = client.prepare("POST", metadata["token_endpoint"], headers, body)
    try:
        answer = _ask(url, body=body, headers=headers)
    except HTTPError as error:
        if error.code == 400:  # invalid_grant and its kin (RFC 6749 5.2); 401 says that our own secret is wrong
            log.warning("identity_provider_refused_code", host=urlsplit(url).hostname)
            raise ExternalExpired from None
        raise _unavailable(url, f"HTTP {error.code}") from None
    try:
        return _vouched(answer, metadata, nonce=nonce, at=at)
    except (ExpiredTokenError, InvalidClaimError) as error:
        is_of_time = isinstance(error, ExpiredTokenError) or error.claim in ("iat", "nbf")
        raise _disbelieved(error, ExternalClock if is_of_time else ExternalInvalid) from None
    except (JoseError, *_MISSHAPEN) as error:
        raise _disbelieved(error, ExternalInvalid) from None


def _disbelieved(
    error: Exception, refusal: type[ExternalClock] | type[ExternalInvalid]
) -> ExternalClock | ExternalInvalid:
    """Note why a token was not believed: which claim, never what it says."""
    log.warning("identity_provider_disbelieved", reason=type(error).__name__, claim=getattr(error, "claim", None))
    return refusal()


def _vouched(answer: dict[str, Any], metadata: dict[str, Any], *, nonce: str, at: datetime) -> Assertion:
    """Return what an ID token says, once it holds in every point of OpenID Connect Core 3.1.3.7. Raises JoseError, or any
    of _MISSHAPEN."""
    found = _signed(answer["id_token"], metadata["jwks_uri"])
    client = settings.OIDC_CLIENT_ID
    claims = CodeIDToken(
        found.claims,
        found.header,
        options={
            "iss": {"essential": True, "value": metadata["issuer"]},
            "aud": {"essential": True, "value": client},
            "sub": {"essential": True},
        },
        params={"nonce": nonce, "client_id": client, "access_token": answer.get("access_token")},
    )
    claims.validate(now=int(at.timestamp()), leeway=LEEWAY)
    if claims["aud"] not in (client, [client]):  # an audience that we do not know may use the token as well
        raise InvalidClaimError("aud")
    if len(claims["sub"]) > SUBJECT_LENGTH or not claims["sub"].isprintable():
        raise InvalidClaimError("sub")
    email = claims.get("email") if claims.get("email_verified") is True else ""
    return Assertion(claims["sub"], email if isinstance(email, str) else "")


def _signed(token: str, jwks_uri: str) -> jwt.Token:
    """Return a token that a key of the provider has signed by the one algorithm of the settings: what its own header asks
    for counts for nothing. Keys are read anew when those we know do not fit, for providers change them."""
    for anew in (False, True):
        try:
            keys = KeySet.import_key_set(_read(jwks_uri, anew=anew))  # type: ignore[arg-type]
            return jwt.decode(token, keys, algorithms=[settings.OIDC_ALGORITHM])
        except (InvalidKeyIdError, BadSignatureError):
            if anew:
                raise
    raise AssertionError  # the second time returns or raises
