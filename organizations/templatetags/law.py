"""How the law is cited."""

from django import template
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def citations(source: str) -> SafeString:
    """Show places in the law, of which none is broken: "164.504(e)" at the end of a line is another one."""
    places = source.split(", ")
    return format_html_join(
        "",
        '<span class="text-nowrap">{}{}</span>{}',
        ((place, "," if n < len(places) else "", " " if n < len(places) else "") for n, place in enumerate(places, 1)),
    )
