from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from rejeu.errors import UnavailableError
from rejeu.imaging import make_all
from rejeu.progress import Progress


@pytest.fixture
def progress() -> Progress:
    return Progress(Console(file=io.StringIO()))


def test_images_come_in_the_order_asked_for_whichever_is_made_first(progress: Progress) -> None:
    second_is_made = threading.Event()

    def make(target: str) -> str:
        if target == "first":
            second_is_made.wait(5)
        else:
            second_is_made.set()
        return f"image of {target}"

    images, refusals = make_all(["first", "second", "first"], make, progress)
    assert list(images.items()) == [("first", "image of first"), ("second", "image of second")]
    assert refusals == {}


def test_a_target_that_cannot_be_had_does_not_stop_the_others(progress: Progress) -> None:
    def make(target: str) -> str:
        if target == "first":
            raise UnavailableError("no registry")
        return "image"

    assert make_all(["first", "second"], make, progress) == ({"second": "image"}, {"first": "no registry"})


def test_any_other_failure_is_raised(progress: Progress) -> None:
    def make(target: str) -> str:
        raise ValueError(target)

    with pytest.raises(ValueError, match="first"):
        make_all(["first"], make, progress)
