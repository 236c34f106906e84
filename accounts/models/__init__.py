"""People who sign in, what they sign in with, and the mails that their accounts cause."""

from .addresses import EmailChange
from .credentials import PractitionerCredential
from .factors import Authenticator, FactorReset, RecoveryCode
from .identities import ExternalIdentity
from .keys import ApiKey, ApiKeyEnd
from .locks import SignInLock
from .people import (
    AccountMail,
    AccountMailKind,
    SetupLink,
    User,
    UserManager,
    hash_password,
    is_voided_password,
    normalise_password,
    void_password,
)
from .sessions import SessionEnd, SessionKind, SignInMethod, UserSession
from .tokens import RefreshToken

__all__ = [
    "AccountMail",
    "AccountMailKind",
    "ApiKey",
    "ApiKeyEnd",
    "Authenticator",
    "EmailChange",
    "ExternalIdentity",
    "FactorReset",
    "PractitionerCredential",
    "RecoveryCode",
    "RefreshToken",
    "SessionEnd",
    "SessionKind",
    "SetupLink",
    "SignInLock",
    "SignInMethod",
    "User",
    "UserManager",
    "UserSession",
    "hash_password",
    "is_voided_password",
    "normalise_password",
    "void_password",
]
