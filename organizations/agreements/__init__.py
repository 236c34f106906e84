"""Business associate agreements: who holds which, what they say, and what is closed while none is in force
(docs/adr/0011-agreements.md)."""
