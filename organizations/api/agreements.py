"""The API of agreements: what is to be signed, signing it, and whose is missing or ends soon."""

from typing import Any
from uuid import UUID

from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from healthivr.kernel.errors import NotFound
from healthivr.kernel.limits import count_attempt
from healthivr.kernel.problems import problems
from organizations.agreements import selectors, services
from organizations.agreements.clauses import Clause
from organizations.agreements.documents import digest
from organizations.agreements.models import BusinessAssociateAgreement
from organizations.agreements.selectors import Standing
from organizations.agreements.standard import BREACH_DAYS, STANDARD_VERSION, TERM_MONTHS
from organizations.agreements.states import AgreementStatus
from organizations.models import Organization
from organizations.paging import PAGE_SIZES, ROWS
from organizations.roles import Capability

from . import OrganizationAPIMixin
from .documented import INSIDE, ORGANIZATION
from .strict import StrictSerializer, parsed


# --- what is read and written ----------------------------------------------------------------------------------------
class AgreementSerializer(serializers.ModelSerializer[BusinessAssociateAgreement]):
    """One agreement. `status` is where it stands now, whatever a sweep has recorded."""

    status = serializers.SerializerMethodField()
    document_sha256 = serializers.CharField(source="document.sha256")

    class Meta:
        model = BusinessAssociateAgreement
        fields = (
            "id",
            "direction",
            "status",
            "version",
            "is_standard",
            "document_sha256",
            "clauses",
            "breach_sla_days",
            "effective",
            "expires",
            "next_review",
            "signer_name",
            "signer_title",
            "signed_at",
            "sent_at",
            "ended_at",
            "end_reason",
        )
        read_only_fields = fields

    def get_status(self, agreement: BusinessAssociateAgreement) -> str:
        """Return the state at the moment of the request."""
        return str(agreement.current_status(at=self.context["at"]).value)


class OfferSerializer(serializers.Serializer[Any]):
    """What would be signed now."""

    version = serializers.CharField()
    document_sha256 = serializers.CharField(help_text="Send it with the signature: it says which text was read.")
    clauses = serializers.ListField(child=serializers.ChoiceField(choices=Clause.choices))
    breach_sla_days = serializers.IntegerField()
    term_months = serializers.IntegerField()


class StandingSerializer(serializers.Serializer[Any]):
    """Where the organization stands with its agreement."""

    organization = serializers.CharField(source="organization.name")
    status = serializers.ChoiceField(choices=AgreementStatus.choices)
    is_needed = serializers.BooleanField()
    is_in_force = serializers.BooleanField()
    days_left = serializers.IntegerField(allow_null=True)
    to_sign = OfferSerializer(allow_null=True)
    agreements = AgreementSerializer(many=True)


class SignSerializer(StrictSerializer):
    """A signature."""

    signer_name = serializers.CharField(max_length=200)
    signer_title = serializers.CharField(max_length=100)
    clauses = serializers.ListField(
        child=serializers.ChoiceField(choices=Clause.choices), help_text="Each clause that the signer read: all eleven."
    )
    document_sha256 = serializers.RegexField(r"^[0-9a-fA-F]{64}$")


class ReminderQuerySerializer(StrictSerializer):
    """Which organizations."""

    which = serializers.ChoiceField(choices=["missing", "ending", "all"], required=False, default="")
    limit = serializers.ChoiceField(choices=PAGE_SIZES, required=False, default=ROWS)
    cursor = serializers.CharField(required=False, default="", allow_blank=True)


class ReminderSerializer(serializers.Serializer[Organization]):
    """One organization whose agreement is missing or ends."""

    organization = serializers.UUIDField(source="pk")
    slug = serializers.CharField()
    name = serializers.CharField()
    severity = serializers.SerializerMethodField()
    status = serializers.SerializerMethodField()
    expires = serializers.DateTimeField(source="holds_until", allow_null=True)
    days_left = serializers.SerializerMethodField()
    last_reminder_days = serializers.IntegerField(source="last_reminder", allow_null=True)

    def get_severity(self, organization: Organization) -> str:
        """Return `critical` without an agreement in force, `warning` from 30 days, `notice` from 90, else nothing."""
        return selectors.severity(organization, at=self.context["at"])

    def get_status(self, organization: Organization) -> str:
        """Return the state of the newest agreement."""
        return str(selectors.last_status(organization).value)

    def get_days_left(self, organization: Organization) -> int | None:
        """Return how many whole days are left."""
        holds_until = organization.holds_until  # type: ignore[attr-defined]
        return (holds_until - self.context["at"]).days if holds_until else None


class ReminderPageSerializer(serializers.Serializer[Any]):
    """One page, the most urgent first."""

    results = ReminderSerializer(many=True)
    newer = serializers.CharField(allow_null=True)
    older = serializers.CharField(allow_null=True)


# --- views -----------------------------------------------------------------------------------------------------------
class AgreementAPIView(OrganizationAPIMixin, APIView):
    """Inside an organization, sixty calls a minute and person (C5)."""

    def check_throttles(self, request: Request) -> None:
        count_attempt(request._request, "invitation_api", key=str(request.user.pk))

    def require_here(self, organization_id: UUID) -> None:
        """Raise NotFound unless the address names the organization that the actor acts in."""
        if organization_id != self.actor.organization_id:
            raise NotFound

    def shown(self, standing: Standing) -> Response:
        """Return where the organization stands."""
        visible = [
            agreement
            for agreement in standing.agreements
            if agreement.status != AgreementStatus.DRAFT or self.actor.is_platform_staff
        ]
        body = {
            "organization": standing.organization,
            "status": standing.status,
            "is_needed": standing.is_needed,
            "is_in_force": standing.in_force is not None,
            "days_left": standing.days_left,
            "to_sign": _offer(standing),
            "agreements": visible,
        }
        return Response(StandingSerializer(body, context={"at": standing.at}).data)


def _offer(standing: Standing) -> dict[str, Any] | None:
    if standing.sent:
        sent = standing.sent
        terms = (sent.version, sent.document.sha256, sent.breach_sla_days, sent.term_months)
    elif standing.is_needed and services.can_be_signed_anew(standing.last_signed_running, at=standing.at):
        sha256 = digest(services.standard_for(standing.organization))
        terms = (STANDARD_VERSION, sha256, BREACH_DAYS, TERM_MONTHS)
    else:
        return None
    names = ("version", "document_sha256", "breach_sla_days", "term_months")
    return {**dict(zip(names, terms, strict=True)), "clauses": Clause.values}


class StandingView(AgreementAPIView):
    """The organization's agreement."""

    rights = {"": Capability.VIEW_COMPLIANCE}

    @extend_schema(
        operation_id="agreements_retrieve", parameters=[ORGANIZATION], responses={200: StandingSerializer, **INSIDE}
    )
    def get(self, request: Request, organization_id: UUID) -> Response:
        """Show where the organization stands with its agreement, all that it had, and what it could sign now."""
        self.require_here(organization_id)
        return self.shown(selectors.standing_of(organization=self.actor.organization, at=timezone.now()))


class SignView(AgreementAPIView):
    """A signature."""

    rights = {"": Capability.MANAGE_AGREEMENTS}

    @extend_schema(
        operation_id="agreements_sign",
        parameters=[ORGANIZATION],
        request=SignSerializer,
        responses={
            200: StandingSerializer,
            **INSIDE,
            **problems(
                e403="not_permitted, not_the_signer, step_up_required, no_membership, organization_inactive, csrf_failed",
                e409="agreement_in_force, agreement_changed",
                e422="agreement_not_needed, clauses_missing",
            ),
        },
    )
    def patch(self, request: Request, organization_id: UUID) -> Response:
        """Sign the agreement that waits for the organization, else the platform's standard one. Only an administrator of
        the organization itself can."""
        self.require_here(organization_id)
        body = parsed(SignSerializer, request.data)
        at = timezone.now()
        services.sign_agreement(actor=self.actor, at=at, **body)
        return self.shown(selectors.standing_of(organization=self.actor.organization, at=at))


class RemindersView(AgreementAPIView):
    """What is due."""

    rights = {"": Capability.VIEW_COMPLIANCE}

    @extend_schema(
        operation_id="agreements_reminders",
        parameters=[ORGANIZATION, ReminderQuerySerializer],
        responses={200: ReminderPageSerializer, **INSIDE},
    )
    def get(self, request: Request) -> Response:
        """List organizations whose agreement is missing (`critical`) or ends within 90 days, the most urgent first.
        Platform staff acting in the platform see all, everybody else their own."""
        query = parsed(ReminderQuerySerializer, request.query_params.dict())
        at = timezone.now()
        page = selectors.organizations_by_urgency(
            actor=self.actor, which=query["which"], cursor=query["cursor"], size=query["limit"], at=at
        )
        body = {"results": page.items, "newer": page.newer, "older": page.older}
        return Response(ReminderPageSerializer(body, context={"at": at}).data)


app_name = "agreements_api"
urlpatterns = [
    path("baa-reminders/", RemindersView.as_view(), name="reminders"),
    path("<uuid:organization_id>/baa/", StandingView.as_view(), name="standing"),
    path("<uuid:organization_id>/sign-baa/", SignView.as_view(), name="sign"),
]
