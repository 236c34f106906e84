"""What every call inside an organization is documented to take, and what any of them may be refused with."""

from drf_spectacular.utils import OpenApiParameter

from healthivr.kernel.problems import problems

ORGANIZATION = OpenApiParameter(
    "X-Organization",
    str,
    OpenApiParameter.HEADER,
    description="Slug or id of the organization you act in; may be left out by somebody with one membership. You reach"
    " it and, where your role may, what lies below it; from the platform, all.",
)
#: An operation adds its own codes: `{**INSIDE, **problems(e409="slug_taken")}`.
INSIDE = problems(
    e400="malformed_field, malformed_body, organization_required",
    e401="sign_in_required, token_invalid, token_expired, session_ended",
    e403="not_permitted, scope_missing, no_membership, organization_inactive, csrf_failed",
    e404="not_found",
    e429="too_many_requests",
    e503="busy",
)
