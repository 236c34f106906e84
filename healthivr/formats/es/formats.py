"""Spanish: `21 nov 2026, 6:00 a.m. EST`."""

DATETIME_FORMAT = "j b Y, g:i a T"
SHORT_DATE_FORMAT = "j b Y"
TIME_FORMAT = "g:i a"
