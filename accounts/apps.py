from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """People who sign in."""

    name = "accounts"

    def ready(self) -> None:
        from audit.registry import register

        from .models import User

        register(
            User,
            masked=["email", "first_name", "last_name"],
            excluded=["password", "last_login", "created_at", "updated_at"],
        )
