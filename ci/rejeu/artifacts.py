"""Which domains cannot be judged, since what they install cannot be had from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from rejeu.errors import ConfigError
from rejeu.matrix import Matrix
from rejeu.needs import Artifact
from rejeu.plan import ordered

_TIMEOUT_S = 10


def unreachable(url: str) -> str:
    """Why no server answers at ``url``; nothing where one does, whatever its answer: a release that is not there is
    a mistake in a role, which must not pass for a network that is closed."""
    try:
        with urlopen(Request(url, method="HEAD"), timeout=_TIMEOUT_S):  # noqa: S310 (the matrix takes http and https)
            return ""
    except HTTPError as error:
        error.close()
        return ""
    except URLError as error:
        return str(error.reason)
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__


def left_out(
    matrix: Matrix, environ: Mapping[str, str], why_not: Callable[[str], str] = unreachable
) -> Mapping[str, str]:
    """The domains that cannot be had, those that require one of them included, each with the reason.

    ConfigError where a directory is given that is none.
    """
    reasons: dict[str, str] = {}
    for name in ordered(matrix):
        domain = matrix.domains[name]
        if missing := [one for one in domain.requires if one in reasons]:
            reasons[name] = f"{name} requires {missing[0]}: {reasons[missing[0]]}"
        elif domain.artifact and (reason := _missing(name, domain.artifact, environ, why_not)):
            reasons[name] = reason
    return reasons


def _missing(name: str, artifact: Artifact, environ: Mapping[str, str], why_not: Callable[[str], str]) -> str:
    if artifact.directory and (given := environ.get(artifact.directory)):
        if not Path(given).is_absolute() or not Path(given).is_dir():
            raise ConfigError(
                f"{artifact.directory}={given}: no directory; give the absolute path of one that has what {name} "
                "installs, or unset it"
            )
        return ""
    if why := why_not(artifact.url):
        said = f"{name} cannot be installed: {artifact.url} cannot be reached ({why})"
        return f"{said}, and {artifact.directory} names no directory that has it" if artifact.directory else said
    return ""
