"""What a password may be (docs/adr/0006-passwords.md): long enough, in no list, made of nothing that somebody who knows
the person would try, and hard to guess in the estimate of zxcvbn. No rules of composition."""

from .rules import LEAST, LEAST_WITH_FACTOR, MOST, PasswordTerms, Problem, problems
from .terms import terms_of

__all__ = ["LEAST", "LEAST_WITH_FACTOR", "MOST", "PasswordTerms", "Problem", "problems", "terms_of"]
