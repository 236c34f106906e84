"""manage.py demo: a believable demonstration, made by the same services that people use.

There stand: a community health program with an insurance verification company and a shipping company, a master
distributor, two distributors, three practices; at least one person of every role; and 200 invitations in every state.
"""

import logging
import random
import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q
from django.utils import timezone

from accounts.models import User, hash_password
from accounts.outbox import DeliveryStatus
from accounts.services import create_setup_link, set_up_platform
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from invitations.acceptance import Visitor, accept_invitation, decline_invitation
from invitations.expiry import expire_overdue
from invitations.models import Delivery, UserInvitation
from invitations.services import cancel_invitation, create_invitation
from invitations.tokens import derive_token
from organizations.actor import Actor
from organizations.agreements.clauses import Clause
from organizations.agreements.documents import digest
from organizations.agreements.gate import needs_agreement
from organizations.agreements.services import sign_agreement, standard_for
from organizations.models import Membership, Organization, OrganizationSettings
from organizations.roles import OrganizationKind, Role, founds_organization
from organizations.selectors import actor_in
from organizations.services import add_membership
from organizations.tenancy import platform, tenant

FIRST = (
    "Amara Ben Carla Dmitri Elena Farid Grace Hugo Imani Jonas Keiko Liam Maya Noah Olivia Priya Quinn Rosa Sam Tara"
)
LAST = (
    "Adler Brooks Castillo Dang Ellison Foster Gupta Hale Ibarra Jensen Kim Lopez Moreau Nguyen Okafor Park Quist Reed"
)
NOTES = ("", "", "Welcome aboard. Call me when you have a minute.", "As discussed at the conference.")
BOUNCE = "550 5.1.1 the address does not exist"


class Command(BaseCommand):
    help = "Fills a development database with a demonstration, and prints who can sign in. Refuses anywhere else."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.ENVIRONMENT != "development":
            raise CommandError("The demonstration runs in development only (ENVIRONMENT=development).")
        if User.objects.exists():
            raise CommandError(
                "There are people already. Name an empty folder: HEALTHIVR_STATE=.state/another make demo"
            )
        logging.disable(logging.INFO)  # a thousand lines would bury the table of who can sign in
        try:
            self._make()
        finally:
            logging.disable(logging.NOTSET)
        self._print_people()

    def _make(self) -> None:
        self.random = random.Random(2026)
        self.password = "-".join(secrets.token_hex(2) for _part in range(5))
        self.now = timezone.now()
        self.people: list[tuple[str, str, str]] = []
        self.number = 0
        self._build_chain()
        self._fill_with_invitations(total=200)

    # --- people and organizations ------------------------------------------------------------------------------------
    def _build_chain(self) -> None:
        """A community health program with what its chain needs, two distributors, three practices, and every role."""
        start = self.now - timedelta(days=45)
        admin = self._set_up(start)
        chp = self._invite(admin, Role.CHP_ADMIN, at=start, names="Renata Silva", founds="Bay Area Health Program")
        self._invite(chp, Role.IVR_COMPANY, at=start, names="Victor Lindqvist", founds="ClearPath Verification")
        self._invite(chp, Role.SHIPPING_LOGISTICS, at=start, names="Selma Yilmaz", founds="Northbound Logistics")
        master = self._invite(chp, Role.MASTER_DISTRIBUTOR, at=start, names="Martin Okoye", founds="Meridian Supply")
        north = self._invite(master, Role.DISTRIBUTOR, at=start, names="Dana Whitfield", founds="Meridian North")
        south = self._invite(master, Role.DISTRIBUTOR, at=start, names="Diego Ferreira", founds="Meridian South")
        sellers = [
            self._invite(north, Role.SALES, at=start, names="Sofia Marchetti"),
            self._invite(south, Role.SALES, at=start, names="Samir Haddad"),
        ]
        practices = (
            ("Dr. Laura Benson", "Hillside Wound Care"),
            ("Dr. Kenji Mori", "Mori Family Practice"),
            ("Dr. Fatima Rahman", "Lakeshore Podiatry"),
        )
        for number, (doctor, practice) in enumerate(practices):
            lead = self._invite(sellers[number % 2], Role.DOCTOR, at=start, names=doctor, founds=practice)
            start_of_work = start + timedelta(days=1)  # the agreement is signed by then
            self._invite(lead, Role.OFFICE_ADMIN, at=start_of_work, names=f"Olga {LAST.split()[number]}")
            self._invite(lead, Role.MEDICAL_STAFF, at=start_of_work, names=f"Marcus {LAST.split()[number + 4]}")
        self._place(admin, Role.SUPPORT, "Sunil Perera")
        self._place(admin, Role.MARKETER, "Mona Falk")
        self._place(lead, Role.PRIVACY_OFFICER, "Paula Nyström")
        self._place(lead, Role.PHARMACIST, "Peter Claes")
        self._place(lead, Role.LAB_TECH, "Lin Zhao")
        self._place(lead, Role.PATIENT, "Pat Doe")
        self._place(lead, Role.PROXY, "Perry Doe")

    def _set_up(self, at: datetime) -> Actor:
        secret = create_setup_link(at=at) or ""
        user = set_up_platform(
            secret=secret,
            email="admin@example.org",
            first_name="Ada",
            last_name="Moss",
            password=self.password,
            ip="192.0.2.10",
            request_id="demo",
            at=at,
        )
        organization = Organization.objects.get(pk=PLATFORM_ORGANIZATION_ID)
        return self._remember(user, organization, Role.ADMIN)

    def _remember(self, user: User, organization: Organization, role: Role) -> Actor:
        self.people.append((user.email, str(role.label), organization.name))
        with tenant(organization):
            return actor_in(user=user, organization=organization, ip="192.0.2.10", request_id="demo")

    def _invite(self, actor: Actor, role: Role, *, at: datetime, names: str, founds: str = "") -> Actor:
        """Invite and accept, as two people would."""
        first, _, last = names.removeprefix("Dr. ").partition(" ")
        email = f"{first}.{last}@example.org".lower().replace("ö", "o")
        invitation = self._create(actor, role, email, first, last, at=at)
        self._mark(invitation, DeliveryStatus.SENT, at=at + timedelta(seconds=4))
        accepted = self._accept(invitation, first, last, founds, at=at + timedelta(hours=3))
        self._tell_inviter(invitation, at=at + timedelta(hours=3))
        joined = self._remember(accepted.user, accepted.organization, role)
        if accepted.has_founded and needs_agreement(accepted.organization):
            self._sign(joined, names, at=at + timedelta(hours=4))
        return joined

    def _sign(self, founder: Actor, names: str, *, at: datetime) -> None:
        """The first act of a founder whose organization handles patient data."""
        with tenant(founder.organization):
            sign_agreement(
                actor=founder,
                signer_name=names,
                signer_title="Owner",
                clauses=Clause.values,
                document_sha256=digest(standard_for(founder.organization)),
                at=at,
            )

    def _create(self, actor: Actor, role: Role, email: str, first: str, last: str, *, at: datetime) -> UserInvitation:
        with tenant(actor.organization):
            return create_invitation(
                actor=replace(actor, verified_at=at),
                invitation_type=role,
                email=email,
                first_name=first,
                last_name=last,
                message=self.random.choice(NOTES),
                at=at,
            )

    def _accept(self, invitation: UserInvitation, first: str, last: str, founds: str, *, at: datetime) -> Any:
        return accept_invitation(
            token=derive_token(invitation.token_nonce),
            visitor=Visitor(None, "192.0.2.20", "demo"),
            password=self.password,
            first_name=first,
            last_name=last,
            organization_name=founds,
            at=at,
        )

    def _place(self, actor: Actor, role: Role, names: str) -> None:
        """Roles that no invitation type gives yet."""
        first, _, last = names.partition(" ")
        email = f"{first}.{last}@example.org".lower().replace("ö", "o")
        user = User(email=email, first_name=first, last_name=last, password=hash_password(self.password))
        with tenant(actor.organization):
            user.save()
            settings_row = OrganizationSettings.objects.get(organization=actor.organization)
            settings_row.seats_used += 1
            settings_row.save(update_fields=["seats_used"])
            add_membership(
                actor=actor,
                user_id=user.pk,
                organization=actor.organization,
                role=role,
                is_org_admin=False,
                upline_id=None,
                invited_by_id=actor.user_id,
                at=self.now,
            )
        self._remember(user, actor.organization, role)

    # --- invitations -------------------------------------------------------------------------------------------------
    def _fill_with_invitations(self, *, total: int) -> None:
        """Bring the number to `total`, in every state, spread over the last forty days."""
        with platform("demo: room for everybody"):
            OrganizationSettings.objects.filter(seat_limit__lt=100).update(seat_limit=100)
            present = UserInvitation.objects.count()
            senders = self._senders()
        fates = ["accepted", "sent", "sent", "bounced", "cancelled", "declined", "expired", "queued", "expiring"]
        for number in range(total - present):
            actor, role = senders[number % len(senders)]
            self._one(actor, role, fates[number % len(fates)])

    def _senders(self) -> list[tuple[Actor, Role]]:
        """Who invites for what: people of the chain, with the role below them."""
        pairs = []
        by_role = {
            Role.DOCTOR: Role.MEDICAL_STAFF,
            Role.SALES: Role.DOCTOR,
            Role.DISTRIBUTOR: Role.SALES,
            Role.MASTER_DISTRIBUTOR: Role.DISTRIBUTOR,
            Role.CHP_ADMIN: Role.MASTER_DISTRIBUTOR,
            Role.ADMIN: Role.CHP_ADMIN,
        }
        memberships = Membership.objects.active().filter(Q(role__in=by_role)).select_related("user", "organization")
        for membership in memberships.order_by("role", "started_at", "pk"):
            actor = Actor(
                membership.user,
                membership.organization,
                frozenset({Role(membership.role)}),
                membership.is_org_admin,
                "192.0.2.10",
                "demo",
            )
            pairs.append((actor, by_role[Role(membership.role)]))
        return pairs

    def _one(self, actor: Actor, role: Role, fate: str) -> None:
        """One invitation and what became of it. Only who joins accepts: the chain above is all that is founded."""
        if fate == "accepted" and founds_organization(role, OrganizationKind(actor.organization.kind)):
            fate = "sent"
        first, last = self.random.choice(FIRST.split()), self.random.choice(LAST.split())
        self.number += 1
        email = f"{first}.{last}{self.number}@example.org".lower()
        days = {"expired": self.random.uniform(9, 40), "expiring": 6.2, "queued": 0.0}
        at = self.now - timedelta(days=days.get(fate, self.random.uniform(0.2, 5)))
        invitation = self._create(actor, role, email, first, last, at=at)
        if fate != "queued":
            status = DeliveryStatus.BOUNCED if fate == "bounced" else DeliveryStatus.SENT
            self._mark(invitation, status, at=at + timedelta(seconds=5))
        later = at + timedelta(hours=self.random.uniform(0.5, 4))
        if fate == "accepted":
            self._accept(invitation, first, last, "", at=later)
        elif fate == "declined":
            visitor = Visitor(None, "192.0.2.20", "demo")
            decline_invitation(
                token=derive_token(invitation.token_nonce), visitor=visitor, reason="not_wanted", at=later
            )
        elif fate == "cancelled":
            with tenant(actor.organization):
                cancel_invitation(actor=actor, invitation_id=invitation.pk, reason="Joined another team", at=later)
        elif fate == "expired":
            with platform("demo: expiry"):
                expire_overdue(organization_id=actor.organization_id, at=self.now)
        self._tell_inviter(invitation, at=later)

    def _tell_inviter(self, invitation: UserInvitation, *, at: datetime) -> None:
        with platform("demo: inviters were told long ago"):
            Delivery.objects.filter(invitation=invitation).exclude(purpose="invitation").update(
                status=DeliveryStatus.SENT, finished_at=at
            )

    def _mark(self, invitation: UserInvitation, status: DeliveryStatus, *, at: datetime) -> None:
        """What the relay would have noted at that time; these addresses exist nowhere, so nothing is mailed."""
        reason = BOUNCE if status == DeliveryStatus.BOUNCED else ""
        with platform("demo: delivered long ago"):
            Delivery.objects.filter(invitation=invitation).update(status=status, reason=reason, finished_at=at)
            sent_at = at if status == DeliveryStatus.SENT else None
            UserInvitation.objects.filter(pk=invitation.pk).update(
                delivery_status=status, sent_at=sent_at, send_count=1
            )

    def _print_people(self) -> None:
        self.stdout.write(f"Sign in at {settings.BASE_URL}/sign-in/ with the password {self.password} as:\n")
        for email, role, organization in self.people:
            self.stdout.write(f"  {email:<32} {role:<44} {organization}")
