"""What accounts know about an organization's compliance (organizations/compliance.py): second factors and sign-ins."""

from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from organizations.compliance import Evidence
from organizations.models import Membership, Organization

from .models import User

#: After how long without signing in an account counts as stale.
STALE_AFTER = timedelta(days=90)


def factor_evidence(organization: Organization, at: datetime) -> Evidence | None:
    """How many of the organization's people sign in with a second factor."""
    people = _people(organization)
    with_factor = people.filter(authenticators__confirmed_at__isnull=False).distinct().count()
    everybody = people.count()
    lacking = everybody - with_factor
    return Evidence(
        code="second_factor",
        title=_("Second factor"),
        source="45 CFR 164.312(d)",
        met=with_factor,
        of=everybody,
        weight=3,
        finding=ngettext(
            "%(lacking)d person signs in without a second factor.",
            "%(lacking)d people sign in without a second factor.",
            lacking,
        )
        % {"lacking": lacking}
        if lacking
        else _("Everybody signs in with a second factor."),
        todo=_("Require a second factor of everybody") if lacking else "",
        page="organizations:settings",
    )


def stale_evidence(organization: Organization, at: datetime) -> Evidence | None:
    """How many of the organization's people have signed in within ninety days, or came within them."""
    people = _people(organization)
    since = at - STALE_AFTER
    new = Membership.objects.active().filter(organization=organization, started_at__gt=since).values("user")
    fresh = people.filter(Q(last_login__gt=since) | Q(pk__in=new)).count()
    everybody = people.count()
    stale = everybody - fresh
    return Evidence(
        code="stale_accounts",
        title=_("Accounts in use"),
        source="45 CFR 164.308(a)(3)(ii)(C)",
        met=fresh,
        of=everybody,
        weight=1,
        finding=ngettext(
            "%(stale)d person has not signed in for 90 days.", "%(stale)d people have not signed in for 90 days.", stale
        )
        % {"stale": stale}
        if stale
        else _("Everybody has signed in, or came, within 90 days."),
        todo=_("End memberships that nobody needs") if stale else "",
        page="organizations:people",
    )


def _people(organization: Organization) -> QuerySet[User]:
    members = Membership.objects.active().filter(organization=organization)
    return User.objects.filter(pk__in=members.values("user"))
