#!/usr/bin/env python
"""Django's command line for healthivr."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "healthivr.settings")
    from django.core.management import execute_from_command_line

    from healthivr.startup import one_sentence

    with one_sentence():
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
