"""Organizations, who belongs to them, and their seats and settings."""

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from healthivr.kernel.ids import PLATFORM_ORGANIZATION_ID, new_id

from .agreements import models as agreement_models  # noqa: F401  Django looks for models here
from .policies import InvitationPolicy
from .roles import NEVER_ADMINISTRATORS, OrganizationKind, Role
from .tenancy import TenantModel


class OrganizationState(models.TextChoices):
    ACTIVE = "active", _("Active")
    INACTIVE = "inactive", _("Inactive")


class Organization(models.Model):
    """A tenant. A directory that everybody's code may read (id, slug, name, kind, state, parent): no row security, and
    therefore nothing private in it. The rest stands in OrganizationSettings."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=80, db_index=False)
    kind = models.CharField(max_length=30, choices=OrganizationKind)
    state = models.CharField(max_length=10, choices=OrganizationState, default=OrganizationState.ACTIVE)
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="children")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["slug"], name="organization_slug_once"),
            models.CheckConstraint(condition=Q(kind__in=OrganizationKind.values), name="organization_kind_known"),
            models.CheckConstraint(condition=Q(state__in=OrganizationState.values), name="organization_state_known"),
            models.CheckConstraint(condition=~Q(parent=models.F("id")), name="organization_not_own_parent"),
            models.CheckConstraint(
                condition=Q(kind=OrganizationKind.PLATFORM, parent=None)
                | (~Q(kind=OrganizationKind.PLATFORM) & Q(parent__isnull=False)),
                name="organization_stands_below_another",
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def is_active(self) -> bool:
        return self.state == OrganizationState.ACTIVE

    @property
    def is_platform(self) -> bool:
        return bool(self.pk == PLATFORM_ORGANIZATION_ID)


class OrganizationClosure(models.Model):
    """Every pair of an organization and one at or below it, kept by a database trigger: who stands below whom is one
    indexed look-up, and a loop cannot be stored."""

    pk = models.CompositePrimaryKey("ancestor_id", "descendant_id")
    ancestor = models.ForeignKey(Organization, models.CASCADE, related_name="+", db_index=False)
    descendant = models.ForeignKey(Organization, models.CASCADE, related_name="above")
    depth = models.PositiveSmallIntegerField()

    def __str__(self) -> str:
        return f"{self.ancestor_id} > {self.descendant_id}"


class OrganizationSettings(TenantModel):
    """What an organization has and allows: its plan's seats, and what its administrators decide.

    `seats_used` = active members and open invitations of people who are not members. It is moved by conditional UPDATEs
    alone (organizations/seats.py), never counted on the way.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    plan = models.CharField(max_length=30, default="standard")
    seat_limit = models.PositiveIntegerField(default=25)
    seats_used = models.PositiveIntegerField(default=0)
    staff_may_invite = models.BooleanField(default=False)
    #: After how many minutes without an act its people are signed out.
    idle_minutes = models.PositiveSmallIntegerField(default=15)
    #: How long its invitations live, and the longest that one may; None leaves it to the type (C1).
    invitation_hours = models.PositiveSmallIntegerField(null=True, blank=True)
    #: Whether all of its people sign in with a second factor, beside the roles that always do.
    requires_second_factor = models.BooleanField(default=False)
    #: Domains of the addresses that may join it; empty allows all.
    email_domains = ArrayField(models.CharField(max_length=253), default=list, blank=True)
    updated_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        verbose_name = _("organization settings")
        verbose_name_plural = _("organization settings")
        constraints = [
            *TenantModel.Meta.constraints,
            models.UniqueConstraint(fields=["organization"], name="settings_once_an_organization"),
            models.CheckConstraint(
                condition=Q(seats_used__lte=models.F("seat_limit")), name="settings_seats_within_limit"
            ),
            models.CheckConstraint(
                condition=Q(idle_minutes__gte=5, idle_minutes__lte=30), name="settings_idle_5_to_30_minutes"
            ),
            models.CheckConstraint(
                condition=Q(invitation_hours=None) | Q(invitation_hours__gte=1, invitation_hours__lte=720),
                name="settings_invitation_1_to_720_hours",
            ),
        ]

    @property
    def invitation_policy(self) -> InvitationPolicy:
        return InvitationPolicy(self.invitation_hours, tuple(self.email_domains))

    def __str__(self) -> str:
        return f"settings of {self.organization_id}"


class MembershipStatus(models.TextChoices):
    ACTIVE = "active", _("Active")
    ENDED = "ended", _("Ended")


#: After how long without a review of access a membership is flagged (security.md, 164.308(a)(4)(ii)(C)).
REVIEW_EVERY = timedelta(days=90)


class MembershipQuerySet(models.QuerySet["Membership"]):
    def active(self) -> "MembershipQuerySet":
        """Memberships that give rights now: not ended, of people who may sign in."""
        return self.filter(status=MembershipStatus.ACTIVE, user__is_active=True)

    def administrators(self) -> "MembershipQuerySet":
        """Active memberships of people who run their organization."""
        return self.active().filter(is_org_admin=True)

    def unreviewed(self, *, at: datetime) -> "MembershipQuerySet":
        """Active memberships that nobody has reviewed for 90 days, or since they began."""
        return self.active().filter(
            Q(reviewed_at=None, started_at__lte=at - REVIEW_EVERY) | Q(reviewed_at__lte=at - REVIEW_EVERY)
        )


class Membership(TenantModel):
    """Somebody's role in an organization for a period (FHIR PractitionerRole). Ended rows stay; who comes back gets a
    new one."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="memberships", db_index=False)
    role = models.CharField(max_length=30, choices=Role)
    is_org_admin = models.BooleanField(default=False)
    upline = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    status = models.CharField(max_length=10, choices=MembershipStatus, default=MembershipStatus.ACTIVE)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    #: When somebody last looked whether it is still needed, and kept it; and who signed that.
    reviewed_at = models.DateTimeField(null=True, blank=True)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )

    objects = MembershipQuerySet.as_manager()

    class Meta(TenantModel.Meta):
        constraints = [
            *TenantModel.Meta.constraints,
            models.UniqueConstraint(
                fields=["organization", "user", "role"],
                condition=Q(status=MembershipStatus.ACTIVE),
                name="membership_role_once",
            ),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="membership_role_known"),
            models.CheckConstraint(condition=Q(status__in=MembershipStatus.values), name="membership_status_known"),
            models.CheckConstraint(
                condition=Q(status=MembershipStatus.ENDED, ended_at__isnull=False)
                | Q(status=MembershipStatus.ACTIVE, ended_at=None),
                name="membership_ended_has_time",
            ),
            models.CheckConstraint(condition=~Q(upline=models.F("user")), name="membership_not_own_upline"),
            models.CheckConstraint(
                condition=Q(reviewed_at=None, reviewed_by=None)
                | Q(reviewed_at__isnull=False, reviewed_by__isnull=False) & ~Q(reviewed_by=models.F("user")),
                name="membership_reviewed_by_somebody_else",
            ),
            models.CheckConstraint(
                condition=~Q(role=Role.ADMIN) | Q(organization=PLATFORM_ORGANIZATION_ID),
                name="membership_admins_are_platform_staff",
            ),
            # On the platform the role and the flag are one, so that its last Admin is its last administrator.
            models.CheckConstraint(
                condition=~Q(organization=PLATFORM_ORGANIZATION_ID)
                | Q(role=Role.ADMIN, is_org_admin=True)
                | ~Q(role=Role.ADMIN) & Q(is_org_admin=False),
                name="membership_platform_is_run_by_admins",
            ),
            models.CheckConstraint(
                condition=Q(is_org_admin=False) | ~Q(role__in=sorted(NEVER_ADMINISTRATORS)),
                name="membership_patients_run_nothing",
            ),
        ]
        indexes = [
            # "My organizations", asked by people with several.
            models.Index(fields=["user"], condition=Q(status="active"), name="membership_of_user"),
            # Who stands below somebody in the sales chain, asked before that person leaves.
            models.Index(
                fields=["upline"], condition=Q(status="active", upline__isnull=False), name="membership_below"
            ),
        ]

    def is_unreviewed(self, *, at: datetime) -> bool:
        """Whether nobody has reviewed it for 90 days: the same as the queryset's `unreviewed`, of an active one."""
        return (self.reviewed_at or self.started_at) <= at - REVIEW_EVERY

    @property
    def other_role_labels(self) -> str:
        """What else the person is in the organization, where a list has asked for it (`other_roles`)."""
        return ", ".join(str(Role(role).label) for role in getattr(self, "other_roles", ()))

    def __str__(self) -> str:
        return f"membership {self.pk}"
