"""The targets' images, made several at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable

from rejeu.errors import UnavailableError
from rejeu.processes import interrupt_all
from rejeu.progress import Progress


def make_all(
    targets: Iterable[str], make: Callable[[str], str], progress: Progress
) -> tuple[dict[str, str], dict[str, str]]:
    """The image of each target that can be had, and the reason for each that cannot."""
    images: dict[str, str] = {}
    refusals: dict[str, str] = {}
    failures: list[Exception] = []
    cores = threading.BoundedSemaphore(os.cpu_count() or 1)

    def work(target: str) -> None:
        with cores, progress.phase(f"image {target}", "making the image"):
            try:
                images[target] = make(target)
            except UnavailableError as error:
                refusals[target] = str(error)
            except Exception as error:
                failures.append(error)

    wanted = list(dict.fromkeys(targets))
    # Daemons, since nothing ends the engine's own build: an interrupt does not wait for it.
    makers = [threading.Thread(target=work, args=(target,), daemon=True) for target in wanted]
    try:
        for maker in makers:
            maker.start()
        for maker in makers:
            maker.join()
    except BaseException:
        interrupt_all()
        raise
    if failures:
        raise failures[0]
    # In the matrix's order, whichever was made first.
    return {target: images[target] for target in wanted if target in images}, refusals
