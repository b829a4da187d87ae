"""Every failure that a user can meet, each with its documented exit code.

0 all clean · 1 findings · 2 usage or configuration · 3 engine or target unavailable · 4 the harness could not judge.
"""


class RejeuError(Exception):
    """One line for the user: what, where, what to do."""

    exit_code = 4


class ConfigError(RejeuError):
    """The command line, the matrix, a secret or a playbook is not usable as it stands."""

    exit_code = 2


class UnavailableError(RejeuError):
    """The engine, an image or a target could not be had."""

    exit_code = 3


class HarnessError(RejeuError):
    """The check ran but could not judge: a lost prober, a stalled host, an unreadable snapshot."""

    exit_code = 4
