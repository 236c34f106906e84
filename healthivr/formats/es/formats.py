"""Spanish: `21 nov 2026, 6:00 a.m. EST`."""

DATETIME_FORMAT = "j M Y, g:i a T"
SHORT_DATE_FORMAT = "j M Y"
TIME_FORMAT = "g:i a"
