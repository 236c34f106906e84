"""Every address of healthivr, and what it answers to whom: a route without a declared policy fails here."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from accounts.links import email_link_path, reset_link_path, unlock_link_path
from accounts.tests.practitioners.acts import npi_number
from audit.models import AuditEvent
from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID
from healthivr.testing.factories import PASSWORD
from healthivr.testing.factors import phone_of
from healthivr.testing.rows import identity_of, key_of, rows_of_everything
from healthivr.testing.sessions import session_of
from healthivr.testing.world import World
from invitations.models import UserInvitation
from invitations.tokens import derive_token
from organizations.agreements.clauses import Clause
from organizations.agreements.documents import digest
from organizations.agreements.models import BusinessAssociateAgreement
from organizations.agreements.states import AgreementStatus
from organizations.models import Membership
from organizations.tenancy import platform, tenant

pytestmark = pytest.mark.django_db

NEW_PASSWORD = "an entirely different horse"
WHO = ("allowed", "anonymous", "stranger_admin", "lowest_member")  # whoever is allowed asks first
Answer = int | str


# --- the URLconf -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Route:
    """One pattern of the URLconf."""

    name: str
    pattern: str


def routes(resolver: URLResolver | None = None, prefix: str = "", names: tuple[str, ...] = ()) -> Iterator[Route]:
    """Yield every route that is mounted; one without a name is called by its pattern."""
    for entry in (resolver or get_resolver()).url_patterns:
        pattern = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, pattern, (*names, *([entry.namespace] if entry.namespace else [])))
        else:
            assert isinstance(entry, URLPattern)
            yield Route(":".join([*names, entry.name]) if entry.name else pattern, pattern)


# --- what is asked, and what is answered -----------------------------------------------------------------------------
@dataclass(frozen=True)
class Ask:
    """One request, and the status that each kind of person gets. A status may be followed by where it leads."""

    method: str
    allowed: Answer
    anonymous: Answer
    stranger_admin: Answer
    lowest_member: Answer
    body: dict[str, Any] = field(default_factory=dict)
    #: Who is allowed, in the cast.
    by: str = "lee"
    #: Which of the practice's invitations: `invitation` is open, `expired` is not.
    about: str = "invitation"
    #: In whose organization: the practice's, or the platform's, where Ana is and nobody else of the cast.
    where: str = "practice"
    carries_link: bool = False
    htmx: bool = False


SIGN_IN = "302 /sign-in/?next="
ADMIN_SIGN_IN = "302 /admin/login/?next="


def page(method: str = "GET", *, lowest: Answer, allowed: Answer | None = None, **more: Any) -> Ask:
    """A page inside an organization: strangers sign in, members of another organization find nothing."""
    usual = 302 if method == "POST" else 200
    return Ask(method, usual if allowed is None else allowed, SIGN_IN, 404, lowest, **more)


def platform_page(method: str = "GET", *, allowed: Answer | None = None, **more: Any) -> Ask:
    """A page of the platform's own organization, which for everybody else does not exist."""
    usual = 302 if method == "POST" else 200
    answer = usual if allowed is None else allowed
    return Ask(method, answer, SIGN_IN, 404, 404, by="ana", where="platform", **more)


def platform_call(method: str, *, allowed: Answer, **more: Any) -> Ask:
    """A call of the API inside the platform's own organization."""
    return Ask(method, allowed, 401, 404, 404, by="ana", where="platform", **more)


def call(method: str, *, allowed: Answer, lowest: Answer = 403, **more: Any) -> Ask:
    """A call of staff's API."""
    return Ask(method, allowed, 401, 404, lowest, **more)


def everybody(method: str, answer: Answer, **more: Any) -> Ask:
    """Open to all alike."""
    return Ask(method, answer, answer, answer, answer, **more)


def personal(method: str, answer: Answer, **more: Any) -> Ask:
    """For whoever is signed in, about nobody but themselves."""
    return Ask(method, answer, SIGN_IN, answer, answer, **more)


def own(method: str, answer: Answer, **more: Any) -> Ask:
    """A call about nobody but whoever is signed in."""
    return Ask(method, answer, 401, answer, answer, **more)


def link_page(method: str, anonymous: Answer, **more: Any) -> Ask:
    """For the holder of a link who is nobody yet; whoever is signed in holds somebody else's."""
    return Ask(method, anonymous, anonymous, 403, 403, by="anonymous", **more)


def platform_staff(method: str = "GET") -> Ask:
    """A page in the practice for platform staff alone, who act in every organization."""
    return Ask(method, 302 if method == "POST" else 200, SIGN_IN, 404, 403, by="ana", about="draft")


NAMES = {"first_name": "Nora", "last_name": "Quist"}
LICENSE = {
    "npi": npi_number(77),
    "license_number": "MD 12345",
    "license_state": "CA",
    "license_expires_on": (timezone.now() + timedelta(days=365)).date().isoformat(),
}
REFUSAL = {"submission": 1, "reason": "The board knows no such number."}
NEW = {"invitation_type": "medical_staff", "email": "nora@example.org", "language": "en"}

NEW_ORGANIZATION = {
    "organization_name": "Hill Street",
    "kind": "practice",
    "parent": str(PLATFORM_ORGANIZATION_ID),
    "plan": "standard",
    "seat_limit": "5",
}
ORGANIZATION = {
    "name": "Lee and Partners",
    "staff_may_invite": True,
    "idle_minutes": 10,
    "invitation_hours": None,
    "requires_second_factor": False,
    "email_domains": [],
}
KEY = {"name": "Night run", "organization": "lee-family-practice", "days": 30}
#: Of a draft whose file stays.
TERMS = {"version": "2026-2", "clauses": Clause.values, "breach_sla_days": "10", "term_months": "12"}
#: Of the agreement that waits for the practice.
SIGNATURE = {
    "signer_name": "Jun Lee",
    "signer_title": "Owner",
    "clauses": Clause.values,
    "document_sha256": digest(b"%PDF-1.7 an agreement with Lee Family Practice %%EOF"),
}

POLICY: dict[str, list[Ask]] = {
    # --- nobody's, and everybody's
    "home": [Ask("GET", "302 /o/lee-family-practice/", SIGN_IN, "302 /o/stone-clinic/", "302 /o/lee-family-practice/")],
    "favicon": [everybody("GET", "302 /static/img/favicon.svg")],
    "healthz": [everybody("GET", 200)],
    "readyz": [everybody("GET", 200)],
    "schema": [everybody("GET", 200)],
    "docs": [everybody("GET", 200)],
    # --- accounts
    "accounts:setup": [everybody("GET", 404), everybody("POST", 404)],  # somebody exists: accounts/tests/test_setup.py
    "accounts:sign_in": [
        Ask("GET", 200, 200, 302, 302, by="anonymous"),
        Ask(
            "POST", "302 /", "302 /", 302, 302, by="anonymous", body={"email": "mia@example.org", "password": PASSWORD}
        ),
    ],
    # The cast's provider answers nobody: accounts/tests/pages/test_external_pages.py has one that does.
    "accounts:external": [Ask("GET", 503, 503, 302, 302, by="anonymous")],
    "accounts:external_callback": [Ask("GET", 401, 401, 302, 302, by="anonymous")],
    "accounts:external_remove": [Ask("POST", "302 /profile/", SIGN_IN, 404, 404)],
    "accounts:sign_out": [personal("POST", "302 /sign-in/")],
    "accounts:session": [
        Ask("GET", 200, 401, 200, 200, htmx=True),
        personal("POST", 200),
    ],
    "accounts:sessions": [personal("GET", 200)],
    "accounts:end_other_sessions": [personal("POST", "302 /profile/sessions/")],
    "accounts:end_session": [Ask("POST", "302 /profile/sessions/", SIGN_IN, 404, 404)],
    "accounts:unlock": [everybody("GET", 200), everybody("POST", "302 /sign-in/")],
    "accounts:password_reset": [
        everybody("GET", 200),
        everybody("POST", "302 /password-reset/sent/", body={"email": "mia@example.org"}),
    ],
    "accounts:password_reset_sent": [everybody("GET", 200)],
    "accounts:password_reset_done": [everybody("GET", 200)],
    "accounts:new_password": [
        everybody("GET", 200),
        everybody("POST", "302 /password-reset/done/", body={"password": NEW_PASSWORD}),
    ],
    "accounts:profile": [
        personal("GET", 200),
        personal("POST", 302, body={**NAMES, "time_zone": "America/New_York", "language": "en"}),
    ],
    "accounts:license": [
        Ask("GET", 200, SIGN_IN, 200, 403),
        Ask("POST", 302, SIGN_IN, 302, 403, body=LICENSE),
    ],
    # Half-way through signing in: nobody gets here by an address. accounts/tests/pages/test_second_factor_pages.py
    "accounts:sign_in_verify": [
        Ask("GET", "302 /sign-in/", "302 /sign-in/", "302 /", "302 /", by="anonymous"),
        Ask("POST", "302 /sign-in/", "302 /sign-in/", "302 /", "302 /", by="anonymous"),
    ],
    "accounts:verify": [
        personal("GET", 200),
        personal("POST", "302 /", body={"verification-password": PASSWORD}),
    ],
    "accounts:second_factor": [personal("GET", 200)],
    "accounts:second_factor_enrol": [  # a code that comes without the page that shows the key begins at the page
        personal("GET", 200),
        personal("POST", "302 /profile/second-factor/enrol/", body={"code": "no code"}),
    ],
    "accounts:second_factor_kept": [personal("POST", "302 /profile/second-factor/")],
    "accounts:second_factor_codes": [personal("POST", "302 /profile/second-factor/")],
    # Doctors keep theirs; who has none has none to remove. Both are told so on the page.
    "accounts:second_factor_remove": [personal("POST", "302 /profile/second-factor/")],
    "accounts:keys": [personal("GET", 200)],
    "accounts:new_key": [
        personal("GET", 200),
        Ask("POST", 200, SIGN_IN, 422, 200, body={"scopes": "invitations:read", **KEY}),
    ],
    "accounts:end_key": [Ask("POST", "302 /profile/keys/", SIGN_IN, 404, 404)],
    "accounts:change_email": [
        personal("GET", 200),
        personal("POST", "302 /profile/email/sent/", body={"email": "n@example.org", "current_password": PASSWORD}),
    ],
    "accounts:change_email_sent": [personal("GET", 200)],
    "accounts:confirm_email": [Ask("GET", 200, SIGN_IN, 410, 410), Ask("POST", "302 /profile/", SIGN_IN, 410, 410)],
    "accounts:start_factor_reset": [page(lowest=403), page("POST", lowest=403)],
    # By a mail to somebody who lost theirs: accounts/tests/test_factor_reset.py
    "accounts:finish_factor_reset": [everybody("GET", 410), everybody("POST", 410, body={"password": PASSWORD})],
    "accounts:change_password": [
        personal("GET", 200),
        personal("POST", 302, body={"current_password": PASSWORD, "password": NEW_PASSWORD}),
    ],
    # --- the invitee's pages
    "invitations:accept": [link_page("GET", 200)],
    "invitations:start": [everybody("POST", "302 /i/accept/", body={"act": "accept"})],
    "invitations:accept_form": [
        link_page("GET", 200, carries_link=True),
        link_page(
            "POST", "302 /o/lee-family-practice/welcome/", carries_link=True, body={**NAMES, "password": PASSWORD}
        ),
    ],
    "invitations:decline": [  # whoever holds the mail may say no, whoever they are signed in as
        everybody("GET", 200, carries_link=True),
        everybody("POST", "302 /i/decline/done/", carries_link=True, body={"reason": "not_me"}),
    ],
    "invitations:decline_done": [everybody("GET", 200)],
    "invitations:new_link": [everybody("POST", "302 /i/new-link/sent/", carries_link=True)],
    "invitations:new_link_sent": [everybody("GET", 200)],
    "invitations:welcome": [page(lowest=200)],
    # --- staff's pages
    "invitations:list": [page(lowest=403)],
    "invitations:create": [page(lowest=403), page("POST", lowest=403, body=NEW)],
    "invitations:preview": [page("POST", lowest=403, allowed=200, body=NEW)],
    "invitations:detail": [page(lowest=403)],
    # A part of a page that asks for itself is not led to the sign-in page.
    "invitations:standing": [Ask("GET", 200, 401, 404, 403, htmx=True)],
    "invitations:resend": [page("POST", lowest=403)],
    "invitations:renew": [page("POST", lowest=403, about="expired")],
    "invitations:cancel": [page(lowest=403), page("POST", lowest=403, body={"reason": ""})],
    "invitations:edit": [
        page(lowest=403),
        page("POST", lowest=403, body={"invitation_type": "medical_staff", "language": "es"}),
    ],
    "invitations:correct_address": [
        page(lowest=403),
        page("POST", lowest=403, body={"email": "right@example.org"}),
    ],
    "organizations:overview": [page(lowest=200)],
    "organizations:people": [page(lowest=403)],
    "organizations:member": [page(lowest=403)],
    "organizations:change_administrator": [page("POST", lowest=403, body={"is_org_admin": "yes"})],
    "organizations:end_membership": [page(lowest=403), page("POST", lowest=403, body={"reason": "She moved."})],
    "organizations:settings": [
        page(lowest=200),
        page("POST", lowest=403, body={"organization_name": "Lee and Partners", "idle_minutes": "10"}),
    ],
    # --- people
    "people:review": [page(lowest=403), page("POST", lowest=403, body={"verdict": "keep", "ids": []})],
    "people:review_table": [page("POST", lowest=403, allowed=200)],
    "people:change_role": [page("POST", lowest=403, body={"role": "lab_tech"})],
    "people:grant_role": [page("POST", lowest=403, body={"role": "privacy_officer"})],
    "people:unlock": [page("POST", lowest=403)],
    "people:reset_password": [page("POST", lowest=403, body={"reason": "A lost phone"})],
    "people:end_sessions": [page("POST", lowest=403)],
    "people:deactivate": [page("POST", lowest=403, by="ana", body={"reason": "She moved."})],
    "people:activate": [page("POST", lowest=403, by="ana")],
    "invitations:leave": [page(lowest=403), page("POST", lowest=403, body={"reason": "She moved."})],
    "invitations:left": [page(lowest=403)],
    "invitations:people_bulk": [page("POST", lowest=403, allowed=200, body={"act": "reset", "ids": ["{omar}"]})],
    "invitations:adopt": [page("POST", lowest=403)],
    # --- the platform's pages
    "practitioners:list": [platform_page()],
    "practitioners:detail": [platform_page()],
    "practitioners:approve": [platform_page(), platform_page("POST", body={"submission": 1})],
    "practitioners:reject": [platform_page(), platform_page("POST", body=REFUSAL)],
    "practitioners:suspend": [platform_page(), platform_page("POST", body=REFUSAL)],
    # --- agreements
    "organizations:agreements": [page(lowest=403)],
    "organizations:sign_agreement": [page(lowest=403), page("POST", lowest=403, body=SIGNATURE)],
    "organizations:draft_agreement": [
        replace(platform_staff(), about=""),
        replace(platform_staff("POST"), allowed=422),
    ],
    "organizations:edit_agreement": [platform_staff(), replace(platform_staff("POST"), body=TERMS)],
    "organizations:send_agreement": [platform_staff("POST")],
    "organizations:renew_agreement": [platform_staff("POST")],
    "organizations:terminate_agreement": [page(lowest=403), page("POST", lowest=403, body={"reason": "We part."})],
    "organizations:agreement_document": [page(lowest=403)],
    "organizations:compliance": [page(lowest=403)],
    "agreements_api:reminders": [call("GET", allowed=200)],
    "agreements_api:standing": [call("GET", allowed=200)],
    "agreements_api:sign": [call("PATCH", allowed=200, body=SIGNATURE)],
    # --- the API
    "invitations_api:list": [call("GET", allowed=200), call("POST", allowed=201, body=NEW)],
    "invitations_api:detail": [
        call("GET", allowed=200),
        call("PUT", allowed=200, body={"invitation_type": "medical_staff", "language": "es"}),
        call("PATCH", allowed=200, body={"language": "es"}),
        call("DELETE", allowed=200),
    ],
    # One's own: in the tests' practice or in none.
    "practitioners_api:own": [
        Ask("GET", 404, 401, 404, 404, where="platform"),
        Ask("PUT", 200, 401, 200, 403, body=LICENSE, where="platform"),
    ],
    "practitioners_api:list": [platform_call("GET", allowed=200)],
    "practitioners_api:detail": [platform_call("GET", allowed=200)],
    "practitioners_api:approve": [platform_call("POST", allowed=200, body={"submission": 1})],
    "practitioners_api:reject": [platform_call("POST", allowed=200, body=REFUSAL)],
    "practitioners_api:suspend": [platform_call("POST", allowed=200, body=REFUSAL)],
    "invitations_api:resend": [call("POST", allowed=200)],
    "invitations_api:renew": [call("POST", allowed=200, about="expired")],
    "accounts_api:token": [everybody("POST", 200, body={"email": "omar@example.org", "password": PASSWORD})],
    "accounts_api:refresh": [everybody("POST", 401, body={"refresh": "never-issued"})],
    # One's own, in no organization's door.
    "accounts_api:keys": [
        Ask("GET", 200, 401, 200, 200, where="platform"),
        Ask("POST", 201, 401, 404, 201, body={"scopes": ["invitations:read"], **KEY}, where="platform"),
    ],
    "accounts_api:key": [Ask("DELETE", 204, 401, 404, 404, where="platform")],
    "accounts_api:revoke": [everybody("POST", 204, body={"refresh": "never-issued"})],
    # One's own, wherever one acts: no organization is asked. What fails says why: nobody here has a second factor.
    "accounts_api:second_factor": [
        own("GET", 200),
        own("POST", 200),
        Ask("DELETE", 422, 401, 422, 409),
    ],
    "accounts_api:second_factor_confirm": [own("POST", 409, body={"code": "000000"})],
    "accounts_api:recovery_codes": [own("POST", 409)],
    "accounts_api:verify": [own("POST", 204, body={"password": PASSWORD})],
    "invitations_api:validate": [everybody("GET", 200)],
    "invitations_api:accept": [link_page("POST", 201, body={**NAMES, "password": PASSWORD})],
    "invitations_api:decline": [everybody("POST", 200, body={"reason": "not_me"})],
    "organizations:directory": [page(lowest=403)],
    "organizations:create": [
        Ask("GET", 200, SIGN_IN, 404, 404, by="ana", where="platform"),
        Ask("POST", 302, SIGN_IN, 404, 404, by="ana", where="platform", body=NEW_ORGANIZATION),
    ],
    "organizations:organization": [page(lowest=403)],
    "organizations:change_plan": [
        page(lowest=403, by="ana"),
        page("POST", lowest=403, by="ana", body={"plan": "large", "seat_limit": "30"}),
    ],
    "organizations:deactivate": [
        page(lowest=403, by="ana"),
        page("POST", lowest=403, by="ana", body={"reason": "They closed."}),
    ],
    "organizations:activate": [page("POST", lowest=403, by="ana")],
    # --- people: who runs an organization acts on its members, the platform switches accounts on and off
    "people_api:list": [call("GET", allowed=200), call("POST", allowed=201, body=NEW)],
    "people_api:stats": [call("GET", allowed=200)],
    "people_api:bulk": [call("POST", allowed=200, body={"act": "reset", "ids": ["{omar}"]})],
    "people_api:detail": [
        call("GET", allowed=200),
        call("PUT", allowed=200, body={"role": "lab_tech", "is_org_admin": False}),
        call("PATCH", allowed=200, body={"role": "lab_tech"}),
    ],
    "people_api:activate": [call("PATCH", allowed=200, by="ana", body={})],
    "people_api:deactivate": [call("PATCH", allowed=200, by="ana", body={"reason": "He moved."})],
    "people_api:password": [call("PATCH", allowed=200, body={})],
    "people_api:unlock": [call("POST", allowed=200, body={})],
    "people_api:roles": [call("POST", allowed=200, body={"role": "privacy_officer"})],
    "people_api:sessions": [call("GET", allowed=200), call("DELETE", allowed=200)],
    "people_api:leave": [call("GET", allowed=200), call("POST", allowed=200, body={"reason": "He moved."})],
    "people_api:resend": [call("POST", allowed=200, body={})],
    # --- organizations: their administrators see and change their own; who runs them all does the rest
    "organizations_api:list": [
        call("GET", allowed=200),
        call(
            "POST",
            allowed=201,
            lowest=404,
            by="ana",
            where="platform",
            body={"name": "Hill Street", "kind": "practice"},
        ),
    ],
    "organizations_api:stats": [call("GET", allowed=200)],
    "organizations_api:detail": [
        call("GET", allowed=200),
        call("PUT", allowed=200, body=ORGANIZATION),
        call("PATCH", allowed=200, body={"idle_minutes": 10}),
    ],
    "organizations_api:deactivate": [call("PATCH", allowed=200, by="ana", body={"reason": "They closed."})],
    "organizations_api:activate": [call("PATCH", allowed=200, by="ana", body={})],
    "organizations_api:assign_admin": [call("PATCH", allowed=200, body={"user_id": "{omar}"})],
    "organizations_api:plan": [call("PATCH", allowed=200, by="ana", body={"seat_limit": 30})],
}


def admin(method: str, answer: Answer, anonymous: Answer = SIGN_IN) -> Ask:
    """Django admin: platform staff's alone. Its sign-in sends everybody else to a page that does not exist."""
    return Ask(method, answer, anonymous, ADMIN_SIGN_IN, ADMIN_SIGN_IN, by="ana")


POLICY |= {
    "admin:index": [admin("GET", 200, ADMIN_SIGN_IN)],
    "admin:login": [Ask("GET", "302 /admin/", SIGN_IN, 404, 404, by="ana")],
    "admin:logout": [Ask("POST", "307 /sign-out/", "302 /sign-in/?next=/", "302 /admin/", "302 /admin/", by="ana")],
    "admin:password_change": [admin("GET", "302 /profile/password/", ADMIN_SIGN_IN)],
    "admin:password_change_done": [admin("GET", 200, ADMIN_SIGN_IN)],
    "admin:autocomplete": [admin("GET", 403, ADMIN_SIGN_IN)],
    "admin:jsi18n": [admin("GET", 200, ADMIN_SIGN_IN)],
    "admin:app_list": [admin("GET", 200, ADMIN_SIGN_IN)],
}
#: The models in Django admin; no row is ever made or deleted there.
ADMIN_MODELS = (
    "audit_auditevent",
    "audit_audithead",
    "invitations_userinvitation",
    "invitations_invitationhistory",
    "invitations_delivery",
    "invitations_invitationbatch",
    "patients_patient",
    "accounts_user",
    "accounts_accountmail",
    "accounts_setuplink",
    "accounts_emailchange",
    "accounts_authenticator",
    "accounts_recoverycode",
    "accounts_externalidentity",
    "accounts_factorreset",
    "accounts_practitionercredential",
    "accounts_usersession",
    "accounts_refreshtoken",
    "accounts_apikey",
    "accounts_signinlock",
    "organizations_organization",
    "organizations_organizationsettings",
    "organizations_membership",
    "organizations_businessassociateagreement",
    "organizations_agreementdocument",
    "organizations_baareminder",
)
for _model in ADMIN_MODELS:
    POLICY |= {
        f"admin:{_model}_changelist": [admin("GET", 200)],
        f"admin:{_model}_change": [admin("GET", 200)],
        f"admin:{_model}_history": [admin("GET", 200)],
        f"admin:{_model}_add": [admin("GET", 403), admin("POST", 403)],
        f"admin:{_model}_delete": [admin("GET", 403), admin("POST", 403)],
        f"admin/{_model.replace('_', '/')}/<path:object_id>/": [admin("GET", 302)],
    }


def test_policy__for_every_route__is_declared_and_for_no_other() -> None:
    names = [route.name for route in routes()]
    assert len(names) == len(set(names)), "two routes of one name"
    assert set(names) - set(POLICY) == set(), "a new route: say in POLICY who may what"
    assert set(POLICY) - set(names) == set(), "a policy for nothing"


# --- asking ----------------------------------------------------------------------------------------------------------
@dataclass
class Door:
    """The cast with a browser each, and what the practice's addresses are made of."""

    world: World
    expired: UserInvitation
    rows: dict[str, Any]

    def client(self, who: str) -> Client:
        """Return the browser of somebody in the cast."""
        client = Client()
        if who != "anonymous":
            client.force_login(getattr(self.world, who))
        return client

    def path(self, route: Route, ask: Ask, **other: object) -> str:
        """Return the practice's address on a route; `other` replaces parts of it."""
        invitation = self.expired if ask.about == "expired" else self.world.invitation
        uid, reset_token = reset_link_path(self.world.omar).split("/")[2:4]
        words = {
            "organization": getattr(self.world, ask.where).slug,
            "invitation_id": invitation.pk,
            "membership_id": self.rows["organizations_membership"].pk,
            "user_id": self.world.omar.pk,
            "agreement_id": self._agreement(ask).pk,
            "credential_id": self.rows["accounts_practitionercredential"].pk,
            "identity_id": self.rows["accounts_externalidentity"].pk,
            "session_id": self.rows["accounts_usersession"].pk,
            "organization_id": self.world.practice.pk,
            "key_id": self.rows["accounts_apikey"].pk,
            "secret": "never-made",
            "uid": uid,
            "token": self._token(route, reset_token, invitation),
            "object_id": self.rows.get(_admin_model(route.pattern), self.world.ana).pk,
            "app_label": "audit",
            "content_type_id": "1",
            "url": "nowhere",
        } | other
        plain = re.sub(r"\^?\(\?P(<\w+>)[^)]*\)", r"\1", route.pattern).removesuffix("$")
        return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda match: str(words[match[1]]), plain)

    def _agreement(self, ask: Ask) -> BusinessAssociateAgreement:
        """The one that waits for the practice's signature; to whom a draft is asked for, it is still one."""
        with platform("test"):
            row = BusinessAssociateAgreement.objects.get(
                organization=self.world.practice, status__in=(AgreementStatus.SENT, AgreementStatus.DRAFT)
            )
            if ask.about == "draft":
                row.status = AgreementStatus.DRAFT
                row.save(update_fields=["status"])
        return row

    def _token(self, route: Route, reset_token: str, invitation: UserInvitation) -> str:
        if "uid" in route.pattern:
            return reset_token
        if route.name == "accounts:confirm_email":
            return email_link_path(str(self.rows["accounts_emailchange"].pk)).split("/")[2]
        if route.name == "accounts:unlock":
            return unlock_link_path(self.world.omar).split("/")[2]
        return derive_token(invitation.token_nonce)

    def filled(self, value: Any) -> Any:
        """Return a value of a body; `{omar}` is that person's id."""
        if isinstance(value, list):
            return [self.filled(entry) for entry in value]
        is_person = isinstance(value, str) and value.startswith("{")
        return str(getattr(self.world, value.strip("{}")).pk) if is_person else value

    def request(self, client: Client, path: str, ask: Ask, organization: object = "") -> HttpResponse:
        """Send the request; to the API, from the practice unless another `organization` is named."""
        headers: dict[str, str] = {}
        if path.startswith("/api/"):
            headers["X-Organization"] = str(organization or getattr(self.world, ask.where).slug)
        if ask.htmx:
            headers["HX-Request"] = "true"
        if ask.carries_link:
            client.cookies["invitation"] = derive_token(self.world.invitation.token_nonce)
        send = getattr(client, ask.method.lower())
        body = {name: self.filled(value) for name, value in ask.body.items()}
        if path.startswith("/api/") and ask.method not in ("GET", "HEAD"):
            return send(path, body, content_type="application/json", headers=headers)  # type: ignore[no-any-return]
        return send(path, body, headers=headers)  # type: ignore[no-any-return]

    def foreign(self) -> dict[str, Any]:
        """Return the ids of the strange practice's rows."""
        with tenant(self.world.strange_practice):
            return {
                "invitation_id": self.world.strange_invitation.pk,
                "membership_id": Membership.objects.get().pk,
                "user_id": self.world.stone.pk,
                "organization_id": self.world.strange_practice.pk,
                "agreement_id": BusinessAssociateAgreement.objects.get(status=AgreementStatus.SENT).pk,
                "session_id": session_of(self.world.stone).pk,
                "key_id": key_of(self.world.stone, self.world.strange_practice).pk,
                "identity_id": identity_of(self.world.stone).pk,
            }


def _admin_model(pattern: str) -> str:
    parts = pattern.split("/")
    return f"{parts[1]}_{parts[2]}" if parts[0] == "admin" and len(parts) > 2 else ""


@pytest.fixture
def door(world: World, settings: Any) -> Door:
    """The cast, and a row of every table in Django admin. Nobody runs into a limit here: test_limits.py does."""
    settings.LIMITS = dict.fromkeys(settings.LIMITS, "1000/m")
    settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = "http://127.0.0.1:9", "hv", "given"
    expired, rows = rows_of_everything(world)
    return Door(world, expired, rows)


CAST = {"stranger_admin": "stone", "lowest_member": "mia", "anonymous": "anonymous"}
Pair = tuple[Route, Ask]
ASKED: list[Pair] = [(route, ask) for route in routes() for ask in POLICY.get(route.name, [])]


def each(pairs: Iterable[Pair]) -> Any:
    """Run a test for each of these routes and requests."""
    return pytest.mark.parametrize(
        ("route", "ask"), [pytest.param(route, ask, id=f"{route.name} {ask.method}") for route, ask in pairs]
    )


@pytest.mark.seed("S0.24", "S0.14", "S0.15")
@each(ASKED)
def test_route__asked_by_everybody__answers_each_as_declared(route: Route, ask: Ask, door: Door) -> None:
    path = door.path(route, ask)
    for who in WHO:
        client = door.client(CAST.get(who, ask.by))
        with transaction.atomic():
            response = door.request(client, path, ask)
            transaction.set_rollback(True)  # everybody asks about the same rows
        expected, _space, target = str(getattr(ask, who)).partition(" ")
        assert (who, response.status_code) == (who, int(expected)), response.headers.get("Location", response.content)
        if target:
            assert response.headers["Location"].startswith(target)


# --- other people's ids ----------------------------------------------------------------------------------------------
def text_of(response: HttpResponse) -> tuple[int, dict[str, str], str]:
    """What somebody learns from an answer, without what differs between any two requests."""
    body = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", response.text)
    body = re.sub(r"(csrfmiddlewaretoken\" value|nonce)=\"[^\"]+\"", "", body)
    headers = {
        name: re.sub(r"nonce-[^']+", "", value)
        for name, value in response.headers.items()
        if name != "X-Request-ID" and not name.startswith("RateLimit-")
    }
    return response.status_code, headers, body


#: What is asked in the practice; the platform has no neighbour that its administrators may not enter.
PRACTICES = [(route, ask) for route, ask in ASKED if ask.where == "practice" and ask.by == "lee"]
IN_URL = [(route, ask) for route, ask in PRACTICES if "<slug:organization>" in route.pattern]
BY_HEADER = [(route, ask) for route, ask in PRACTICES if ask.anonymous == 401 != ask.allowed and not ask.htmx]
#: Answers without a name in them.
NUMBERS = {"organizations_api:stats", "people_api:stats", "people_api:sessions"}
#: What is about nobody but oneself (/api/v1/auth/) asks no organization.
BY_HEADER = [
    (route, ask)
    for route, ask in PRACTICES
    if ask.anonymous == 401 != ask.allowed and not ask.htmx and not route.name.startswith("accounts_api:")
]


@pytest.mark.seed("S0.24")
@each((route, ask) for route, ask in ASKED if ask.where == "practice" and "<uuid:" in route.pattern)
def test_route__with_an_id_of_another_organization__answers_as_for_an_id_of_nobody(
    route: Route, ask: Ask, door: Door
) -> None:
    client = door.client(ask.by)
    with transaction.atomic():
        assert door.request(client, door.path(route, ask), ask).status_code < 400
        transaction.set_rollback(True)
    foreign = door.foreign()
    nobody = dict.fromkeys(foreign, uuid4())
    answer = door.request(client, door.path(route, ask, **foreign), ask)
    assert answer.status_code == 404
    assert text_of(answer) == text_of(door.request(client, door.path(route, ask, **nobody), ask))


@pytest.mark.seed("S0.24")
@each(IN_URL)
def test_route__of_another_organization__answers_as_one_of_no_organization(route: Route, ask: Ask, door: Door) -> None:
    client = door.client("lee")
    with transaction.atomic():
        assert door.request(client, door.path(route, ask), ask).status_code < 400
        transaction.set_rollback(True)
    foreign = door.foreign()
    answer = door.request(client, door.path(route, ask, organization="stone-clinic", **foreign), ask)
    assert answer.status_code == 404
    assert text_of(answer) == text_of(
        door.request(client, door.path(route, ask, organization="no-such", **foreign), ask)
    )
    stranger = Client()
    here = door.request(stranger, door.path(route, ask), ask)
    nowhere = door.request(stranger, door.path(route, ask, organization="no-such"), ask)
    assert here.status_code == nowhere.status_code == (401 if ask.htmx else 302)


@pytest.mark.seed("S0.24")
@each(BY_HEADER)
def test_api__from_another_organization__answers_as_from_no_organization(route: Route, ask: Ask, door: Door) -> None:
    client = door.client("lee")
    with transaction.atomic():
        assert door.request(client, door.path(route, ask), ask, door.world.practice.pk).status_code < 400
        transaction.set_rollback(True)
    path = door.path(route, ask, **door.foreign())
    answers = [
        door.request(client, path, ask, organization)
        for organization in ("no-such", uuid4(), "stone-clinic", door.world.strange_practice.pk)
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert all(text_of(answer) == text_of(answers[0]) for answer in answers)


@pytest.mark.seed("S0.24")
@each((route, ask) for route, ask in (*IN_URL, *BY_HEADER) if ask.method == "GET")
def test_route__opened_by_a_stranger_at_home__shows_nothing_of_ours(route: Route, ask: Ask, door: Door) -> None:
    path = door.path(route, ask, organization="stone-clinic", **door.foreign())
    answer = door.request(door.client("stone"), path, ask, "stone-clinic")
    assert answer.status_code == 200
    assert route.name in NUMBERS or "example.org" in answer.text or "Stone Clinic" in answer.text
    for word in ("new.nurse", "late@", "Lee", "Haddad", "Novak", str(door.world.practice.pk)):
        assert word not in answer.text


# --- methods ---------------------------------------------------------------------------------------------------------
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
OURS = [route for route in routes() if not route.pattern.startswith("admin/")]


@pytest.mark.parametrize("route", OURS, ids=lambda route: route.name)
def test_route__asked_by_a_method_it_does_not_have__405_and_nothing_happens(route: Route, door: Door) -> None:
    declared = {ask.method: ask for ask in POLICY[route.name]}
    ask = next(iter(declared.values()))
    client = door.client(ask.by)
    if route.name in ("accounts:sign_in", "accounts:setup"):
        client = Client()
    for method in METHODS:
        if method in declared:
            continue
        response = door.request(client, door.path(route, ask), replace(ask, method=method))
        assert (method, response.status_code) == (method, 405)
        assert set(declared) <= {word.strip() for word in response.headers["Allow"].split(",")}


@each((route, ask) for route, ask in ASKED if ask.method == "GET")
def test_route__asked_for_its_head__answers_as_to_get_without_a_body(route: Route, ask: Ask, door: Door) -> None:
    client = door.client(ask.by)
    answers = {
        method: door.request(client, door.path(route, ask), replace(ask, method=method)) for method in ("GET", "HEAD")
    }
    assert answers["HEAD"].status_code == answers["GET"].status_code
    assert answers["HEAD"].content == b""


# --- Django admin ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/admin/accounts/user/"])
def test_admin__opened_before_signing_in__opens_after(path: str, world: World) -> None:
    client = Client()
    asked = client.get(path, follow=True)
    assert asked.request["PATH_INFO"] == "/sign-in/"
    target = dict(parse_qsl(asked.request["QUERY_STRING"]))["next"]
    phone = phone_of(world.ana)
    client.post("/sign-in/", {"email": world.ana.email, "password": PASSWORD, "next": target})
    answer = client.post("/sign-in/verify/", {"code": phone.code()}, follow=True)
    assert (answer.status_code, answer.request["PATH_INFO"]) == (200, path.replace("login/", ""))


def test_admin__signed_in_without_being_platform_staff__does_not_exist(door: Door) -> None:
    assert door.client("ana").get("/admin/").status_code == 200
    for who in ("lee", "stone", "mia"):
        assert door.client(who).get("/admin/", follow=True).status_code == 404


def test_admin__signing_out_and_changing_a_password__take_the_ways_that_stand_in_the_trail(door: Door) -> None:
    client = door.client("ana")
    assert client.get("/admin/password_change/").headers["Location"] == "/profile/password/"
    assert client.post("/admin/logout/", follow=True).status_code == 200
    with tenant(door.world.platform):
        assert AuditEvent.objects.filter(action="session.ended", actor_id=door.world.ana.pk).count() == 1
    assert client.get("/profile/").status_code == 302
