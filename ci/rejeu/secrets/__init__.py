"""Secrets of a run: minted or committed, encrypted where they rest, searched for in all that a run leaves."""

from rejeu.secrets.mint import SecretKind, SecretSpec, public_key
from rejeu.secrets.preflight import check_encrypted
from rejeu.secrets.redact import Leak, find_leaks, redact, unsearchable
from rejeu.secrets.store import Secrets, prepare

__all__ = [
    "Leak",
    "SecretKind",
    "SecretSpec",
    "Secrets",
    "check_encrypted",
    "find_leaks",
    "prepare",
    "public_key",
    "redact",
    "unsearchable",
]
