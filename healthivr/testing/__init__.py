"""Fixtures that the apps' tests share."""
