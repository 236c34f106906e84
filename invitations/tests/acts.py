"""What the tests of this app do repeatedly: each act in the door that the product opens for it, and after each act,
whatever came of it, every seat counter compared with what it counts."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from threading import Barrier
from typing import Any, TypeVar

from django.db import connection
from django.utils import timezone

from accounts.models import User
from audit.models import AuditEvent
from healthivr.testing.factories import PASSWORD
from invitations.acceptance import Accepted, Visitor, accept_invitation, decline_invitation, request_new_link
from invitations.messages import compose
from invitations.models import Delivery, InvitationHistory, UserInvitation
from invitations.seats import count_seats
from invitations.services import create_invitation
from invitations.tokens import derive_token
from organizations.actor import Actor
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.tenancy import platform, tenant

STRANGER = Visitor(None, "192.0.2.7", "test-request")
Result = TypeVar("Result")

#: Every table that an invitation can touch.
TABLES = (
    "user_invitations",
    "invitation_history",
    "invitation_deliveries",
    "accounts_user",
    "organizations_organization",
    "organizations_organizationsettings",
    "organizations_membership",
    "audit_event",
)


def assert_seats_are_counted() -> None:
    """Compare the counter of every organization with its members and open invitations."""
    with platform("test"):
        for row in OrganizationSettings.objects.select_related("organization"):
            assert row.seats_used == count_seats(row.organization), f"seats of {row.organization}"


def count_seats_anew() -> None:
    """Set every counter right after a factory made a row that takes a seat."""
    with platform("test"):
        for row in OrganizationSettings.objects.select_related("organization"):
            row.seats_used = count_seats(row.organization)
            row.save(update_fields=["seats_used"])


#: What is refused stands in the trail, and is no change.
REFUSALS_APART = " WHERE action NOT IN ('invitation.accept_refused', 'session.refused')"


def contents() -> dict[str, str]:
    """Return a digest of every row that an invitation can touch. That an acceptance or a password was refused is no
    change: the trail says so, and tests of its own read it (`refusals`)."""
    found = {}
    with platform("test"), connection.cursor() as cursor:
        for table in TABLES:
            rows = (
                " WHERE action NOT IN ('invitation.accept_refused', 'session.refused')"
                if table == "audit_event"
                else ""
            )
            cursor.execute(f"SELECT md5(string_agg(row::text, '|' ORDER BY row::text)) FROM {table} row{rows}")
            found[table] = cursor.fetchone()[0]
    return found


@contextmanager
def nothing_written() -> Iterator[None]:
    """Demand that what happens inside leaves every table as it was."""
    before = contents()
    yield
    after = contents()
    assert [table for table in TABLES if before[table] != after[table]] == []


# --- staff -----------------------------------------------------------------------------------------------------------
def act(service: Callable[..., Result], *, actor: Actor, at: datetime | None = None, **arguments: Any) -> Result:
    """Call a staff service inside the actor's organization, as a request does."""
    try:
        with tenant(actor.organization):
            return service(actor=actor, at=at or timezone.now(), **arguments)
    finally:
        assert_seats_are_counted()


def invite(
    actor: Actor, invitation_type: str = "medical_staff", email: str = "nora@example.org", **values: Any
) -> UserInvitation:
    """Create an invitation."""
    return act(create_invitation, actor=actor, invitation_type=invitation_type, email=email, **values)


# --- the invitee -----------------------------------------------------------------------------------------------------
def token_of(invitation: UserInvitation) -> str:
    """Return the token of the link that works now."""
    return derive_token(fresh(invitation).token_nonce)


def accept(
    invitation: UserInvitation | str, *, user: User | None = None, at: datetime | None = None, **values: Any
) -> Accepted:
    """Accept an invitation, or a token of one, as a stranger or as somebody signed in."""
    typed = {} if user else {"password": PASSWORD, "first_name": "Nora", "last_name": "Quist"}
    try:
        return accept_invitation(
            token=invitation if isinstance(invitation, str) else token_of(invitation),
            visitor=Visitor(user, "192.0.2.7", "test-request"),
            at=at or timezone.now(),
            **{**typed, **values},
        )
    finally:
        assert_seats_are_counted()


def decline(invitation: UserInvitation | str, *, reason: str = "not_wanted", at: datetime | None = None) -> None:
    """Decline an invitation, or a token of one."""
    token = invitation if isinstance(invitation, str) else token_of(invitation)
    try:
        decline_invitation(token=token, visitor=STRANGER, reason=reason, at=at or timezone.now())
    finally:
        assert_seats_are_counted()


def ask_for_new_link(token: str, *, at: datetime | None = None) -> None:
    """Ask for a working link with a token that may be dead."""
    try:
        request_new_link(token=token, visitor=STRANGER, at=at or timezone.now())
    finally:
        assert_seats_are_counted()


# --- what is there now -----------------------------------------------------------------------------------------------
def fresh(invitation: UserInvitation) -> UserInvitation:
    """Return the row as it is now."""
    with platform("test"):
        return UserInvitation.objects.select_related("organization", "invited_by").get(pk=invitation.pk)


def history(invitation: UserInvitation) -> list[str]:
    """Return the events of an invitation, oldest first."""
    with platform("test"):
        return list(
            InvitationHistory.objects.filter(invitation=invitation).order_by("at", "pk").values_list("event", flat=True)
        )


def deliveries(invitation: UserInvitation, *, purpose: str = "invitation") -> list[str]:
    """Return the states of an invitation's mails, oldest first."""
    with platform("test"):
        return list(
            Delivery.objects.filter(invitation=invitation, purpose=purpose)
            .order_by("created_at", "pk")
            .values_list("status", flat=True)
        )


def waiting_mail(invitation: UserInvitation, *, purpose: str = "invitation") -> Delivery:
    """Return the mail of an invitation that waits to be sent, as the relay reads it."""
    with platform("test"):
        return Delivery.objects.select_related("invitation__organization", "invitation__invited_by").get(
            invitation=invitation, purpose=purpose, status="queued"
        )


def composed(delivery: Delivery) -> tuple[EmailMessage, str]:
    """Return the message of a delivery as a mailbox reads it, and its recipient."""
    written = compose(delivery, at=timezone.now())
    assert written is not None
    return parsed(bytes(written[0])), written[1]


def parsed(message: bytes) -> EmailMessage:
    """Return a message as a mailbox reads it."""
    return message_from_bytes(message, policy=policy.default)  # type: ignore[return-value]


def plain_text(message: EmailMessage) -> str:
    """Return the text part of a message, its lines ended as ours are."""
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def html_text(message: EmailMessage) -> str:
    """Return the HTML part of a message."""
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def trail(organization: Organization) -> list[AuditEvent]:
    """Return the events in an organization's trail, oldest first."""
    with platform("test"):
        return list(AuditEvent.objects.filter(organization_id=organization.pk).order_by("sequence"))


def actions(organization: Organization) -> list[str]:
    """Return the names of an organization's events, oldest first."""
    return [event.action for event in trail(organization)]


def refusals(organization: Organization) -> list[tuple[str, Any, str]]:
    """Return the refused acceptances in an organization's trail: invitation, who tried, and the code."""
    return [
        (event.target_id, event.actor_id, event.detail["code"])
        for event in trail(organization)
        if event.action == "invitation.accept_refused" and event.outcome == "4"
    ]


def seats_used(organization: Organization) -> int:
    """Return the counter."""
    with platform("test"):
        return OrganizationSettings.objects.get(organization=organization).seats_used


def set_seat_limit(organization: Organization, limit: int) -> None:
    """Put an organization on another plan."""
    with platform("test"):
        OrganizationSettings.objects.filter(organization=organization).update(seat_limit=limit)


def allow_staff_to_invite(organization: Organization) -> None:
    """Let office administrators invite medical staff there."""
    with platform("test"):
        OrganizationSettings.objects.filter(organization=organization).update(staff_may_invite=True)


def memberships(user: User) -> list[Membership]:
    """Return somebody's memberships everywhere, oldest first."""
    with platform("test"):
        return list(Membership.objects.filter(user=user).select_related("organization").order_by("started_at", "pk"))


def at_once(*acts: Callable[[], Result]) -> list[Result | Exception]:
    """Run acts in parallel, each on its own connection; return what each returned or raised. Needs committed rows."""
    start = Barrier(len(acts))

    def run(one: Callable[[], Result]) -> Result | Exception:
        try:
            start.wait()
            return one()
        except Exception as error:  # noqa: BLE001  what went wrong is what the tests ask for
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(run, acts))
