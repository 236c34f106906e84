"""How passwords are hashed."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2idHasher(Argon2PasswordHasher):
    """Argon2id with OWASP's first choice: 46 MiB, one pass, one lane (docs/adr/0006-passwords.md)."""

    memory_cost = 46 * 1024  # KiB
    time_cost = 1
    parallelism = 1
