"""Pages of accounts: set-up, sign-in, passwords, profile. Each parses, calls one service, and renders."""

from .mail_frame import mail_frame
from .requests import begin_session, end_session, limited, origin, remember_owner

__all__ = ["begin_session", "end_session", "limited", "mail_frame", "origin", "remember_owner"]
