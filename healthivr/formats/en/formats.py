"""English: `Nov 21, 2026, 6:00 AM EST`."""

DATETIME_FORMAT = "M j, Y, g:i A T"
SHORT_DATE_FORMAT = "M j, Y"
