"""What may be uploaded as an agreement: a PDF, told by its content and not by its name."""

from hashlib import sha256

from django.utils.translation import gettext_lazy as _

from healthivr.kernel.errors import Malformed

MAX_BYTES = 5 * 1024 * 1024
#: A PDF begins with its version and ends with a mark near its last byte (ISO 32000-1, 7.5.2 and 7.5.5).
BEGINNING, END, END_WITHIN = b"%PDF-", b"%%EOF", 1024


class DocumentRefused(Malformed):
    """The file is no PDF, or too large."""

    code = "document"
    message = _("Choose a PDF of at most 5 MB.")
    too_large = _("This file is larger than 5 MB. Choose a smaller PDF.")


def checked_pdf(content: bytes) -> bytes:
    """Return the content of an uploaded file. Raises DocumentRefused for anything but a whole PDF of a sensible size."""
    if len(content) > MAX_BYTES:
        raise DocumentRefused(DocumentRefused.too_large, field="document")
    if not content.startswith(BEGINNING):
        raise DocumentRefused(_("This file is not a PDF. Choose the agreement as a PDF."), field="document")
    if END not in content[-END_WITHIN:]:
        raise DocumentRefused(_("This PDF is cut off. Save or download it again, then choose it."), field="document")
    return content


def digest(content: bytes) -> str:
    """Return the SHA-256 that names what was agreed to."""
    return sha256(content).hexdigest()
