"""What people get wrong in YAML is told with its line, and never as an error of Python's."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from pydantic import Field

from rejeu.documents import Model, load
from rejeu.errors import ConfigError


class Sheet(Model):
    number: int = 0
    text: str = ""
    day: date = date(2027, 1, 31)
    more: dict[str, int] = Field(default={})
    rows: tuple[int, ...] = ()


DAY = "day: must be a date, as in 2027-12-31"
NUMBER = "number: must be a valid integer"
YAML = "not valid YAML: "
DEEP = b"rows: " + b"[\n" * 3000 + b"]\n" * 3000

# What the file has, the line that is blamed, and what is said of it.
CASES = {
    "a 13th month": (b"number: 1\nday: 2027-13-01\n", 2, f"{DAY} (found '2027-13-01')"),
    "a day that February lacks": (b"day: 2027-02-29\n", 1, f"{DAY} (found '2027-02-29')"),
    "a 25th hour": (b"\nday: 2027-01-31 25:00:00\n", 2, f"{DAY} (found '2027-01-31 25:00:00')"),
    "a day among numbers": (b"rows:\n  - 1\n  - 2027-13-01\n", 3, "rows.1: must be a valid integer"),
    "a key twice": (b"number: 1\nnumber: 2\n", 2, f'{YAML}found duplicate key "number"'),
    "a tab": (b"more:\n\ta: 1\n", 2, f"{YAML}found character '\\t'"),
    "no UTF-8": (b"number: 1\ntext: \xff\n", 2, "not UTF-8 at byte 16"),
    "UTF-16": ("number: 1\n".encode("utf-16"), 1, "not UTF-8 at byte 0"),
    "a control character": (b"number: 1\ntext: \x07\n", 2, f"{YAML}found the character #x0007"),
    "half a surrogate pair": (b'number: 1\n"\\ud800": 1\n', 2, f"{YAML}found half a surrogate pair"),
    "beyond Unicode": (b'number: 1\ntext: "\\U00110000"\n', 2, f"{YAML}found an escape that is no character"),
    "beyond any integer": (b'number: 1\ntext: "\\UFFFFFFFF"\n', 2, f"{YAML}found an escape that is no character"),
    "a Python object": (
        b"number: 1\ntext: !!python/object/apply:os.system [id]\n",
        2,
        f"{YAML}found the tag tag:yaml.org,2002:python/object/apply:os.system, which means nothing here",
    ),
    "a key that is a mapping": (b"number: 1\n? {a: [1]}\n: 2\n", None, f"{YAML}found what no mapping can hold"),
    "an ordered map twice": (b"number: 1\nmore: !!omap [x: 1, x: 2]\n", None, YAML),
    "an ordered map that is a number": (b"number: 1\nmore: !!omap 3\n", None, YAML),
    "a merge of itself": (b"number: 1\nmore: &a\n  <<: *a\n", None, YAML),
    "a tag of a type that fits": (b"more: !ours {a: 1}\n", 1, f"{YAML}found the tag !ours"),
    "no number": (b"number: !!int x\n", 1, f"{NUMBER}, unable to parse string as an integer (found 'x')"),
    "no digits": (b"number: !!int _\n", 1, NUMBER),
    "no truth value": (b"number: !!bool x\n", 1, NUMBER),
    "an endless number": (b"text: x\nnumber: " + b"9" * 5000, 2, "number: Unable to parse input string as an integer"),
    "an endless hexadecimal": (b"text: x\nnumber: 0x" + b"f" * 5000, 2, NUMBER),
    "an alias to nothing": (b"number: 1\ntext: *nothing\n", 2, f"{YAML}found undefined alias 'nothing'"),
    "a merge of nothing": (b"more:\n  <<: *nothing\n", 2, f"{YAML}found undefined alias 'nothing'"),
    "an alias of all to itself": (b"&all\nmore: *all\n", 1, f"{YAML}found an alias that holds itself"),
    "an abyss": (b"number: 1\n" + DEEP, None, f"{YAML}nested too deeply"),
}


@pytest.mark.parametrize(("content", "line", "said"), CASES.values(), ids=CASES)
def test_what_is_wrong_is_told_in_one_line_with_its_own(
    tmp_path: Path, content: bytes, line: int | None, said: str
) -> None:
    path = tmp_path / "sheet.yml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path, Sheet)
    where, _, message = str(caught.value).removeprefix(f"{path}:").partition(": ")
    assert int(where) == line if line else int(where) > 1
    assert message.startswith(said)
    assert len(message.splitlines()) == 1
    assert len(message) < 300


def test_what_is_right_comes_out_plain(tmp_path: Path) -> None:
    path = tmp_path / "sheet.yml"
    path.write_text(
        "number: 0x1f\ntext: &t a\nday: 2027-12-31\nmore: &m {a: 1}\nrows: [!!int 1, 99999999999999999999]\n"
    )
    sheet = load(path, Sheet).value
    assert (sheet.number, sheet.text, sheet.day) == (31, "a", date(2027, 12, 31))
    assert (sheet.more, sheet.rows) == ({"a": 1}, (1, 99999999999999999999))
