"""Invitations, their history, and the mails they cause."""

import hashlib
from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from accounts.outbox import DeliveryStatus, OutgoingMail
from healthivr.kernel.ids import new_id
from organizations.roles import INVITATION_TYPES, Role
from organizations.tenancy import RowLevelSecurity, SameOrganization, TenantModel

from .states import Event, Status

User = settings.AUTH_USER_MODEL
TYPE_CHOICES = [(role.value, role.label) for role in (*INVITATION_TYPES, Role.PATIENT)]
FAILED_DELIVERY = (DeliveryStatus.FAILED, DeliveryStatus.BOUNCED, DeliveryStatus.REJECTED)
#: It does not arrive unless somebody acts: also without a mail server, for then nothing leaves by itself later.
NOT_DELIVERED = (*FAILED_DELIVERY, DeliveryStatus.DISABLED)
LEFT_DELIVERY = (
    DeliveryStatus.SENT,
    DeliveryStatus.DEFERRED,
    DeliveryStatus.DELIVERED,
    DeliveryStatus.COMPLAINED,
    DeliveryStatus.UNKNOWN,
)
WAITING_DELIVERY = tuple(status for status in DeliveryStatus if status not in (*NOT_DELIVERED, *LEFT_DELIVERY))


class Channel(models.TextChoices):
    """How an invitation reaches somebody. E-mail for now."""

    EMAIL = "email", _("E-mail")
    SMS = "sms", _("Text message")
    LINK = "link", _("Link handed over")
    LETTER = "letter", _("Letter")


class StatusWord(models.TextChoices):
    """The one word that staff read, from lifecycle and delivery together (C9)."""

    PENDING = "pending", _("Waiting to be sent")
    SENT = "sent", _("Sent")
    FAILED = "failed", _("Not delivered")
    ACCEPTED = "accepted", _("Accepted")
    DECLINED = "declined", _("Declined")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")


class InvitationBatch(TenantModel):
    """Invitations sent together. A stub: the bulk issue builds it; invitations only need its key."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)

    class Meta(TenantModel.Meta):
        db_table = "invitation_batches"
        verbose_name = _("batch")
        verbose_name_plural = _("batches")

    def __str__(self) -> str:
        return f"batch {self.pk}"


class InvitationQuerySet(models.QuerySet["UserInvitation"]):
    """The vocabulary. Each rule about time exists once here and once on the row; a test proves them equal."""

    def open(self, *, at: datetime) -> "InvitationQuerySet":
        """Those that can be accepted."""
        return self.filter(status=Status.PENDING, expires_at__gt=at)

    def overdue(self, *, at: datetime) -> "InvitationQuerySet":
        """Those whose time has run out and which the sweep has not recorded yet."""
        return self.filter(status=Status.PENDING, expires_at__lte=at)

    def with_status(self, word: str, *, at: datetime) -> "InvitationQuerySet":
        """Those that show this word to staff."""
        if word == StatusWord.EXPIRED:
            return self.filter(Q(status=Status.EXPIRED) | Q(status=Status.PENDING, expires_at__lte=at))
        if word == StatusWord.FAILED:
            return self.open(at=at).filter(delivery_status__in=NOT_DELIVERED)
        if word == StatusWord.SENT:
            return self.open(at=at).filter(delivery_status__in=LEFT_DELIVERY)
        if word == StatusWord.PENDING:
            return self.open(at=at).filter(delivery_status__in=WAITING_DELIVERY)
        return self.filter(status=word)


class UserInvitation(TenantModel):
    """An invitation to join or found an organization. 27 columns, 23 constraints (domain.md 2.2)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # The database cascades (migration 0002): purging an organization leaves no invitation behind (C18).
    organization = models.ForeignKey(
        "organizations.Organization", models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    invitation_type = models.CharField(_("type"), max_length=30, choices=TYPE_CHOICES)
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    email = models.CharField(_("e-mail address"), max_length=254, null=True)
    phone = models.CharField(max_length=20, null=True, blank=True)
    first_name = models.CharField(max_length=100, blank=True, default="")
    last_name = models.CharField(max_length=100, blank=True, default="")
    message = models.CharField(max_length=1000, blank=True, default="")
    language = models.CharField(max_length=10, default="en")
    token_hash = models.CharField(max_length=64)
    token_nonce = models.CharField(max_length=80)
    expires_at = models.DateTimeField()
    invited_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="sent_invitations", db_index=False)
    upline = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", db_index=False)
    delivery_channel = models.CharField(max_length=10, choices=Channel, default=Channel.EMAIL)
    delivery_status = models.CharField(max_length=12, choices=DeliveryStatus, default=DeliveryStatus.QUEUED)
    sent_at = models.DateTimeField(null=True)
    send_count = models.SmallIntegerField(default=0)
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", db_index=False)
    closed_at = models.DateTimeField(null=True)
    closed_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", db_index=False)
    batch = models.ForeignKey(
        InvitationBatch, models.PROTECT, null=True, related_name="invitations", db_index=False, db_constraint=False
    )
    patient = models.ForeignKey(
        "patients.Patient", models.CASCADE, null=True, related_name="+", db_index=False, db_constraint=False
    )
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = InvitationQuerySet.as_manager()

    class Meta:
        db_table = "user_invitations"
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        constraints = [
            RowLevelSecurity(name="userinvitation_rls"),
            models.UniqueConstraint(fields=["token_hash"], name="invitation_token_once"),
            models.UniqueConstraint(
                fields=["organization", "email"],
                condition=Q(status=Status.PENDING),
                name="invitation_one_open_an_address",
            ),
            SameOrganization(field="batch", name="invitation_batch_in_organization"),
            SameOrganization(field="patient", name="invitation_patient_in_organization", on_delete="CASCADE"),
            models.CheckConstraint(
                condition=Q(invitation_type__in=[value for value, _label in TYPE_CHOICES]), name="invitation_type_known"
            ),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="invitation_status_known"),
            models.CheckConstraint(
                condition=Q(delivery_channel__in=[Channel.EMAIL, Channel.LINK, Channel.LETTER])
                | Q(delivery_channel=Channel.SMS, phone__isnull=False),
                name="invitation_channel_known_sms_has_phone",
            ),
            models.CheckConstraint(
                condition=Q(delivery_status__in=DeliveryStatus.values), name="invitation_delivery_known"
            ),
            models.CheckConstraint(
                condition=Q(email=None) | Q(email=Lower("email"), email__contains="@"),
                name="invitation_email_normalised",
            ),
            models.CheckConstraint(
                condition=Q(invitation_type=Role.PATIENT, patient__isnull=False, email=None, phone=None)
                | (~Q(invitation_type=Role.PATIENT) & Q(patient=None)),
                name="invitation_patient_has_record_and_no_address",
            ),
            models.CheckConstraint(condition=Q(token_hash__regex=r"^[0-9a-f]{64}$"), name="invitation_token_is_digest"),  # noqa: S106
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="invitation_expires_later"),
            models.CheckConstraint(condition=Q(send_count__range=(0, 10)), name="invitation_sent_at_most_ten_times"),
            models.CheckConstraint(
                condition=Q(status=Status.ACCEPTED, accepted_at__isnull=False)
                | (~Q(status=Status.ACCEPTED) & Q(accepted_at=None)),
                name="invitation_accepted_has_time",
            ),
            models.CheckConstraint(
                condition=Q(accepted_at=None, accepted_by=None)
                | Q(accepted_at__isnull=False, accepted_by__isnull=False),
                name="invitation_accepted_has_person",
            ),
            models.CheckConstraint(
                condition=Q(status=Status.PENDING, closed_at=None)
                | (~Q(status=Status.PENDING) & Q(closed_at__isnull=False)),
                name="invitation_closed_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(delivery_status__in=[DeliveryStatus.SENT, DeliveryStatus.DELIVERED])
                | Q(sent_at__isnull=False),
                name="invitation_sent_has_time",
            ),
            models.CheckConstraint(
                condition=Q(accepted_at=None) | Q(accepted_at__lt=F("expires_at")), name="invitation_accepted_in_time"
            ),
        ]
        indexes = [
            # The list page: newest first, keyset.
            models.Index(fields=["organization", "-created_at", "-id"], name="invitation_list"),
            # The same for those who see what they sent themselves: it must not grow with what their colleagues send.
            models.Index(fields=["organization", "invited_by", "-created_at", "-id"], name="invitation_own_list"),
            # What the overview counts: what is open, by what became of its mail and by when it ends; and a day's
            # sent and accepted, of everybody or of one inviter.
            models.Index(
                fields=["organization", "delivery_status", "expires_at"],
                condition=Q(status=Status.PENDING),
                name="invitation_open",
            ),
            models.Index(
                fields=["organization", "sent_at", "invited_by"],
                condition=Q(sent_at__isnull=False),
                name="invitation_sent",
            ),
            models.Index(
                fields=["organization", "accepted_at", "invited_by"],
                condition=Q(accepted_at__isnull=False),
                name="invitation_accepted",
            ),
            # Whose open invitations nobody can accept any more: entitlement.py walks from inviter to inviter.
            models.Index(
                fields=["organization", "invited_by", "invitation_type"],
                condition=Q(status=Status.PENDING),
                name="invitation_open_inviter",
            ),
            # The sweep.
            models.Index(fields=["expires_at"], condition=Q(status=Status.PENDING), name="invitation_due"),
        ]

    def __str__(self) -> str:
        return f"invitation {self.pk}"

    def is_expired(self, *, at: datetime) -> bool:
        """Whether its time has run out, recorded by the sweep or not: true the moment `at` reaches `expires_at`."""
        return self.status == Status.EXPIRED or (self.status == Status.PENDING and at >= self.expires_at)

    def is_open(self, *, at: datetime) -> bool:
        """Whether it can be accepted."""
        return self.status == Status.PENDING and at < self.expires_at

    def current_status(self, *, at: datetime) -> Status:
        """Where it stands at `at`, whatever the sweep has recorded."""
        return Status.EXPIRED if self.is_expired(at=at) else Status(self.status)

    def status_word(self, *, at: datetime) -> StatusWord:
        """The one word that staff read."""
        status = self.current_status(at=at)
        if status != Status.PENDING:
            return StatusWord(status.value)
        if self.delivery_status in NOT_DELIVERED:
            return StatusWord.FAILED
        return StatusWord.SENT if self.delivery_status in LEFT_DELIVERY else StatusWord.PENDING

    @property
    def message_id(self) -> str:
        """The Message-ID of the present issue: the same however often a worker has to send it."""
        return f"{self.pk.hex}.{hashlib.sha256(self.token_nonce.encode()).hexdigest()[:16]}"


#: The reason that a cancellation by correct_address has. Stored in English, shown in the reader's language.
ADDRESS_CORRECTED = gettext_noop("Address corrected")
#: The reason that a cancellation has because who invited left the organization.
INVITER_LEFT = gettext_noop("Who invited has left the organization")
#: The reason that a cancellation has because a member who was invited for another role left the organization.
INVITEE_LEFT = gettext_noop("Who was invited has left the organization")
#: The reason that a cancellation has because a member who was invited for another role has another address.
INVITEE_MOVED = gettext_noop("Who was invited has changed their address")
OWN_REASONS = (ADDRESS_CORRECTED, INVITER_LEFT, INVITEE_LEFT, INVITEE_MOVED)


class InvitationHistory(TenantModel):
    """What happened to an invitation, and the digests of links that died on the way, so that their holders are told
    why. Append-only, also for the application's role (migration 0004); its creation stands in the invitation itself."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    invitation = models.ForeignKey(
        UserInvitation, models.CASCADE, related_name="history", db_index=False, db_constraint=False
    )
    event = models.CharField(max_length=10, choices=Event)
    at = models.DateTimeField()
    by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", db_index=False)
    #: What the person gave as a reason, or what changed.
    reason = models.CharField(max_length=500, blank=True, default="")
    #: The digest of the link that this event killed, if it did.
    token_hash = models.CharField(max_length=64, null=True)

    class Meta(TenantModel.Meta):
        db_table = "invitation_history"
        verbose_name = _("history entry")
        verbose_name_plural = _("history")
        constraints = [
            RowLevelSecurity(name="invitationhistory_rls"),
            SameOrganization(field="invitation", name="history_invitation_in_organization", on_delete="CASCADE"),
            models.CheckConstraint(condition=Q(event__in=Event.values), name="history_event_known"),
        ]
        indexes = [
            models.Index(fields=["invitation", "at"], name="history_of_invitation"),
            models.Index(fields=["token_hash"], condition=Q(token_hash__isnull=False), name="history_dead_link"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.invitation_id}"


class Purpose(models.TextChoices):
    """Why a mail leaves: the invitation itself, or a word to the inviter."""

    INVITATION = "invitation", _("Invitation")
    ACCEPTED = "accepted", _("Accepted: word to the inviter")
    DECLINED = "declined", _("Declined: word to the inviter")
    FAILED = "failed", _("Not delivered: word to the inviter")


class Delivery(OutgoingMail, TenantModel):
    """One attempt to deliver an invitation by one channel, or to tell its inviter. Holds ids only."""

    invitation = models.ForeignKey(
        UserInvitation, models.CASCADE, related_name="deliveries", db_index=False, db_constraint=False
    )
    purpose = models.CharField(max_length=12, choices=Purpose, default=Purpose.INVITATION)
    channel = models.CharField(max_length=10, choices=Channel, default=Channel.EMAIL)

    class Meta(TenantModel.Meta):
        db_table = "invitation_deliveries"
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [
            RowLevelSecurity(name="delivery_rls"),
            SameOrganization(field="invitation", name="delivery_invitation_in_organization", on_delete="CASCADE"),
            models.CheckConstraint(condition=Q(status__in=DeliveryStatus.values), name="delivery_status_known"),
        ]
        indexes = [
            models.Index(fields=["invitation", "created_at"], name="delivery_of_invitation"),
            models.Index(fields=["next_try_at"], condition=Q(status__in=["queued", "sending"]), name="delivery_due"),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} delivery {self.pk}"
