"""How errors of the API are documented; healthivr/api.py writes them."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers


class ProblemSerializer(serializers.Serializer[Any]):
    """RFC 9457 problem details, as every error of the API is written."""

    type = serializers.CharField(help_text="A page that explains the code.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What to do, in plain English.")
    code = serializers.CharField(help_text="Stable: test for this.")
    request_id = serializers.CharField()
    errors = serializers.DictField(  # type: ignore[assignment]  # the word of RFC 9457 users; DRF has a property so named
        child=serializers.ListField(child=serializers.CharField()), required=False, help_text="Messages a field."
    )


def problems(**codes_by_status: str) -> dict[tuple[int, str], OpenApiResponse]:
    """Return the documented errors of an operation: `problems(e404="not_found")`."""
    return {
        (int(name[1:]), "application/problem+json"): OpenApiResponse(ProblemSerializer, codes)
        for name, codes in codes_by_status.items()
    }
