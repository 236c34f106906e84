"""The test harness: the database is real, the application's role is the application's, and the world is sealed."""

pytest_plugins = ["healthivr.testing.database", "healthivr.testing.world", "healthivr.testing.mail"]
