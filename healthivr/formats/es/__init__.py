"""Spanish, as in the United States: the clock has twelve hours."""
