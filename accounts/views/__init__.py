"""Pages of accounts: set-up, sign-in, passwords, profile. Each parses, calls one service, and renders."""

from .mail_frame import mail_frame
from .requests import BACKEND, limited, origin

__all__ = ["BACKEND", "limited", "mail_frame", "origin"]
