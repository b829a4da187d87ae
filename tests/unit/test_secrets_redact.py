from __future__ import annotations

import base64
import html
import json
import shlex
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from rejeu.secrets import find_leaks, redact, unsearchable
from rejeu.secrets.redact import Leak, forms

AWKWARD = """p'a"s&s<w>o\\r/d+é=%"""
KEY = "-----BEGIN KEY-----\nMHcCAQEEIOaGjkqQv0\nshort\nxY3kPq9vLw2ZtR8sDfG\n-----END KEY-----\n"

secret = st.text(st.characters(exclude_categories=["Cs"]), min_size=6).filter(lambda text: len(text.strip()) >= 6)


@given(secret, st.binary(), st.binary())
def test_a_secret_is_found_wherever_it_begins_in_base64(value: str, before: bytes, after: bytes) -> None:
    hidden = before + value.encode() + after
    for encoded in (base64.b64encode(hidden), base64.urlsafe_b64encode(hidden)):
        assert find_leaks(b"x " + encoded + b"\n", {"it": value})


@given(secret, st.text(), st.text())
def test_a_secret_is_found_in_every_text_form(value: str, before: str, after: str) -> None:
    for encode in (str, quote, json.dumps, html.escape, escape, shlex.quote):
        assert find_leaks((before + encode(value) + after).encode(errors="replace"), {"it": value})
    assert find_leaks(value.strip().encode().hex().encode(), {"it": value})


@given(st.text(), st.lists(st.sampled_from([AWKWARD, "hunter2hunter2"])), st.text())
def test_nothing_is_left_to_find_once_redacted(before: str, inside: list[str], after: str) -> None:
    values = {"one": AWKWARD, "two": "hunter2hunter2"}
    text = "".join([before, *inside, json.dumps(inside), *map(quote, inside), after])
    assert find_leaks(redact(text, values).encode(errors="replace"), values) == []


@given(st.text())
def test_redacting_changes_nothing_else(text: str) -> None:
    values = {"it": AWKWARD}
    if not find_leaks(text.encode(errors="replace"), values):
        assert redact(text, values) == text


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (AWKWARD, "text"),
        (base64.b64encode(AWKWARD.encode()).decode(), "base64"),
        (base64.urlsafe_b64encode(b"12" + AWKWARD.encode()).decode(), "base64"),
        (AWKWARD.encode().hex(), "hex"),
        (AWKWARD.encode().hex().upper(), "hex"),
        (quote(AWKWARD), "percent"),
        (quote(AWKWARD, safe="").replace("%2F", "%2f").lower(), "percent"),
        (json.dumps(AWKWARD), "json"),
        (json.dumps({"msg": json.dumps({"value": AWKWARD})}), "json"),
        (json.dumps(AWKWARD, ensure_ascii=False), "json"),
        (html.escape(AWKWARD), "xml"),
        (str(escape(AWKWARD)), "xml"),
        (html.escape(AWKWARD, quote=False), "xml"),
        (f"PGPASSWORD={shlex.quote(AWKWARD)} psql", "shell"),
    ],
)
def test_the_form_of_a_leak_is_told(data: str, form: str) -> None:
    leaks = find_leaks(f"12345 {data}".encode(), {"clean": "something-else", "it": AWKWARD})
    assert [(leak.name, leak.form) for leak in leaks] == [("it", form)]
    assert leaks[0].offset >= 6


def test_a_leak_tells_its_first_offset_and_not_its_value() -> None:
    leaks = find_leaks("é s3cret-value s3cret-value other-one".encode(), {"b": "other-one", "a": "s3cret-value"})
    assert leaks == [Leak("a", 3, "text"), Leak("b", 29, "text")]
    assert "s3cret" not in repr(leaks)


def test_a_plain_password_has_few_forms() -> None:
    assert len(forms("abcdefghijklmnopqrstuvwxyz")) <= 6


@pytest.mark.parametrize("line", ["MHcCAQEEIOaGjkqQv0", "xY3kPq9vLw2ZtR8sDfG"])
def test_an_indented_key_is_found_by_its_lines(line: str) -> None:
    assert find_leaks(f"    key: |\n      {line}\n".encode(), {"key": KEY})


def test_what_every_key_has_is_no_leak() -> None:
    assert find_leaks(b"-----BEGIN KEY-----\nshort\n-----END KEY-----\n", {"key": KEY}) == []


def test_a_trailing_newline_hides_nothing() -> None:
    assert find_leaks(b"token=abcdefgh;", {"it": "abcdefgh\n"})


def test_a_secret_of_several_lines_is_found_where_they_are_one() -> None:
    assert redact("Set one-half other\\x1bhalf.", {"it": "one-half\n other\x1bhalf"}) == "Set «it»."


def test_a_quote_doubled_as_in_sql_and_yaml_is_found() -> None:
    (leak,) = find_leaks(b"ALTER ROLE app PASSWORD 'it''s-secret-42'", {"it": "it's-secret-42"})
    assert leak.form == "sql"


@pytest.mark.parametrize("value", ["it's hush-hush", "it's hush-hush \n", "  it's hush-hush"])
def test_what_the_shell_quoted_is_found_with_the_white_space_around_it(value: str) -> None:
    data = f"export KEY={shlex.quote(value)}".encode()
    assert [(leak.name, leak.form) for leak in find_leaks(data, {"it": value})] == [("it", "shell")]
    assert [(leak.name, leak.form) for leak in find_leaks(data, {"it": value.strip()})] == [("it", "shell")]


def test_short_values_are_named_and_left_alone() -> None:
    values = {"pin": "12345", "padded": " abc \n\n", "long": "123456"}
    assert unsearchable(values) == ["pin", "padded"]
    assert find_leaks(b"12345 abc", values) == []
    assert redact("12345 abc 123456", values) == "12345 abc «long»"


def test_a_secret_that_begins_with_another_is_redacted_whole() -> None:
    assert redact("abcdefgh abcdef", {"short": "abcdef", "long": "abcdefgh"}) == "«long» «short»"


def test_without_secrets_a_text_stays_as_it_is() -> None:
    assert redact("a text", {}) == redact("a text", {"pin": "1"}) == "a text"
