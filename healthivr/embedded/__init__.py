"""PostgreSQL, Redis and a mail sink on a bare machine: installs them, starts them, stops them.

The product itself never imports this package; it is told by its environment where its servers are.
docs/adr/0002-embedded-services.md says why it is ours and how it works.
"""
