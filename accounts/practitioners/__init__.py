"""Approval of doctors: what they say of their license, who looked at it, and until when it holds (checklist S3.51)."""
