"""Mails as pages."""

import re

from django.http import HttpResponse

#: Where a link of a mail leads; values are escaped there, quotes too.
_LINK = re.compile(r'(<a\b[^<>]*?)\shref="[^"]*"')


def mail_frame(html: str, *, links: bool = False) -> HttpResponse:
    """Return a mail's HTML for a sandboxed frame of ours.

    Mails carry style attributes, which our policy refuses and a frame made from text would inherit. So this answer has
    a policy of its own, stricter in all else: no script, no network, no form. With `links` a click on a link leads the
    whole page there, and the frame's origin is nobody's. Without, links are no links: nothing to stop at or to click; and
    the page around may read how high the mail is, which with no script inside is all that the same origin gives.
    """
    if links:
        sandbox = "allow-top-navigation-by-user-activation"
        html = html.replace("<head>", '<head><base target="_top">', 1)
    else:
        sandbox = "allow-same-origin"
        html = _LINK.sub(r"\1", html).replace("<head>", "<head><style>a { text-decoration: underline; }</style>", 1)
    response = HttpResponse(html)
    response["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox {sandbox}"
    )
    response["X-Frame-Options"] = "SAMEORIGIN"
    return response
