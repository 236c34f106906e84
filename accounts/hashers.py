"""How passwords are hashed."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2idHasher(Argon2PasswordHasher):
    """Argon2id with OWASP's first choice: 19 MiB, two passes, one lane (docs/adr/0006-passwords.md)."""

    memory_cost = 19 * 1024
    time_cost = 2
    parallelism = 1
