from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """People who sign in."""

    name = "accounts"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in

        from audit.registry import register
        from organizations.agreements.reminders import reminder_due
        from organizations.agreements.services import agreement_sent, agreement_terminated
        from organizations.compliance import register_evidence
        from organizations.services import membership_ended, roles_changed

        from .agreements import mail_ending, mail_sent, mail_terminated
        from .evidence import factor_evidence, stale_evidence
        from .keys import end_keys_on_leaving
        from .models import (
            ApiKey,
            Authenticator,
            ExternalIdentity,
            FactorReset,
            PractitionerCredential,
            RecoveryCode,
            User,
            UserSession,
        )
        from .registry import end_sessions_on_changed_roles, end_sessions_on_leaving
        from .role_changes import mail_access_ended, mail_role_changed

        # The registry writes it, for browsers and tokens alike.
        user_logged_in.disconnect(dispatch_uid="update_last_login")
        register_evidence(factor_evidence)
        register_evidence(stale_evidence)
        agreement_sent.connect(mail_sent, dispatch_uid="mail_agreement_sent")
        agreement_terminated.connect(mail_terminated, dispatch_uid="mail_agreement_terminated")
        reminder_due.connect(mail_ending, dispatch_uid="mail_agreement_ending")
        membership_ended.connect(end_sessions_on_leaving, dispatch_uid="end_sessions_on_leaving")
        membership_ended.connect(end_keys_on_leaving, dispatch_uid="end_keys_on_leaving")
        membership_ended.connect(mail_access_ended, dispatch_uid="mail_access_ended")
        roles_changed.connect(end_sessions_on_changed_roles, dispatch_uid="end_sessions_on_changed_roles")
        roles_changed.connect(mail_role_changed, dispatch_uid="mail_role_changed")

        register(
            User,
            masked=["email", "first_name", "last_name"],
            excluded=["password", "last_login", "created_at", "updated_at"],
        )
        register(
            UserSession,
            masked=["address", "user_agent"],
            excluded=["last_seen_at", "verified_at", "second_factor_at", "created_at", "expires_at"],
        )
        register(ApiKey, masked=["name"], excluded=["digest", "created_at", "last_used_at"])
        register(
            PractitionerCredential,
            masked=["license_number", "reason"],
            excluded=["submitted_at", "decided_at", "decided_by", "license_ends_at", "reminded_days"],
        )
        register(ExternalIdentity, masked=["subject"], excluded=["created_at", "last_used_at"])
        register(Authenticator, masked=[], excluded=["seed", "last_step", "drift", "begun_in", "created_at"])
        register(RecoveryCode, masked=[], excluded=["digest", "created_at"])
        register(FactorReset, masked=[], excluded=["created_at"])
