"""What a real PostgreSQL cluster's catalogue shows: everything that somebody does, and nothing that it does itself."""

from __future__ import annotations

import gzip
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rejeu.errors import HarnessError
from rejeu.judge.items import compare_items
from rejeu.observe.snapshot import Snapshot, take
from rejeu.targets.container import SystemdTarget
from rejeu.values import Facet, Kind
from tests.integration.conftest import bare_target

KEY = secrets.token_bytes(16)
DEADLINE_S = 60
SQL = """
CREATE ROLE app LOGIN PASSWORD 'sesame'; CREATE ROLE readers; CREATE DATABASE shop OWNER app;
\\connect shop
CREATE TABLE orders (id serial PRIMARY KEY, amount int NOT NULL);
CREATE TABLE visits (at date) PARTITION BY RANGE (at);
CREATE TABLE visits_0 PARTITION OF visits DEFAULT;
CREATE MATERIALIZED VIEW totals AS SELECT sum(amount) FROM orders;
CREATE VIEW amounts AS SELECT amount FROM orders;
CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
GRANT SELECT ON orders, amounts TO readers; GRANT EXECUTE ON FUNCTION one TO readers;
GRANT CONNECT ON DATABASE shop TO readers; GRANT USAGE ON SCHEMA public TO readers; GRANT USAGE ON orders_id_seq TO app;
ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT SELECT ON TABLES TO readers;
ALTER ROLE app SET work_mem = '8MB'; ALTER ROLE app IN DATABASE shop SET shop.token = 'open';
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdTarget]:
    with bare_target(tmp_path_factory.mktemp("catalogue")) as target:
        assert Facet.POSTGRESQL in look(target).missing
        target.check(["apt-get", "update", "-qq"])
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "postgresql"]
        target.check(["env", "DEBIAN_FRONTEND=noninteractive", *install])
        sql(target, SQL, "postgres")
        yield target


def look(target: SystemdTarget) -> Snapshot:
    return take(target, KEY, facets=[Facet.POSTGRESQL])


def sql(target: SystemdTarget, text: str, database: str = "shop") -> str:
    argv = ["runuser", "-u", "postgres", "--", "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", database]
    return target.check(argv, stdin=text.encode())


def load_configuration(target: SystemdTarget) -> None:
    """The server is only told to: it does so a moment later."""
    loaded = sql(target, "SELECT pg_conf_load_time(); SELECT pg_reload_conf()").splitlines()[0]
    deadline = time.monotonic() + DEADLINE_S
    while sql(target, "SELECT pg_conf_load_time()").strip() == loaded:
        assert time.monotonic() < deadline, "nothing was loaded"


Changes = dict[str, Kind]
Watch = Callable[[str], Changes]


@pytest.fixture
def during(target: SystemdTarget) -> Watch:
    """What the facet tells of some SQL: the changes' subjects and kinds."""

    def watch(text: str) -> Changes:
        before = look(target)
        sql(target, text)
        return changes(before, look(target))

    return watch


def changes(before: Snapshot, after: Snapshot) -> Changes:
    old, new = before.items[Facet.POSTGRESQL], after.items[Facet.POSTGRESQL]
    return {change.subject: change.kind for change in compare_items(Facet.POSTGRESQL, old, new)}


@pytest.mark.parametrize(
    "work",
    [
        pytest.param("", id="nothing"),
        pytest.param(
            "INSERT INTO orders (amount) SELECT generate_series(1, 20000); DELETE FROM orders WHERE id % 5 = 0;"
            "UPDATE orders SET amount = 0 WHERE id % 3 = 0; CREATE TEMPORARY TABLE scratch AS SELECT * FROM orders;"
            "CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
            id="an application's",
        ),
        pytest.param(
            "VACUUM (FREEZE, ANALYZE); VACUUM FULL pg_class; VACUUM FULL pg_authid;"
            "REINDEX TABLE orders; REFRESH MATERIALIZED VIEW totals; CHECKPOINT",
            id="maintenance",
        ),
    ],
)
def test_a_database_s_own_work_is_no_change(during: Watch, work: str) -> None:
    assert during(work) == {}


AGAIN = {
    "table 15/main shop public.orders": "GRANT SELECT ON orders TO readers",
    "view 15/main shop public.amounts": "GRANT SELECT ON amounts TO readers",
    "sequence 15/main shop public.orders_id_seq": "GRANT USAGE ON orders_id_seq TO app",
    "function 15/main shop public.one()": "GRANT EXECUTE ON FUNCTION one TO readers",
    "schema 15/main shop public": "GRANT USAGE ON SCHEMA public TO readers",
    "database 15/main shop": "GRANT CONNECT ON DATABASE shop TO readers",
    "default privileges 15/main shop of app on tables": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT SELECT ON TABLES TO readers"
    ),
    "role 15/main app": "ALTER ROLE app LOGIN",
    "setting 15/main of role app": "ALTER ROLE app SET work_mem = '8MB'",
    "extension 15/main shop plpgsql": "DROP EXTENSION plpgsql; CREATE EXTENSION plpgsql",
}


def test_what_is_said_again_is_made_again(during: Watch) -> None:
    assert during(";".join(AGAIN.values())) == dict.fromkeys(AGAIN, Kind.REBUILT)


NEW = {
    "role 15/main app": "ALTER ROLE app PASSWORD 'sesame'",
    "role 15/main guest": "CREATE ROLE guest",
    "membership 15/main app in readers by postgres": "GRANT readers TO app",
    "view 15/main shop public.amounts": "REVOKE SELECT ON amounts FROM readers",
    "table 15/main shop public.orders": "ALTER TABLE orders ADD COLUMN note text",
    "index 15/main shop public.by_amount": "CREATE INDEX by_amount ON orders (amount)",
}


def test_what_is_new_or_different_is_told(during: Watch) -> None:
    assert during(";".join(NEW.values())) == dict.fromkeys(NEW, Kind.RUNTIME)


def test_a_setting_counts_once_it_is_loaded(target: SystemdTarget, during: Watch) -> None:
    assert during("ALTER SYSTEM SET work_mem = '5MB'; ALTER SYSTEM SET max_connections = 50") == {}
    before = look(target)
    load_configuration(target)
    assert changes(before, look(target)) == {
        "configuration 15/main": Kind.REBUILT,
        "setting 15/main work_mem": Kind.RUNTIME,
        "setting 15/main max_connections": Kind.RUNTIME,  # it waits for a restart
    }


def test_an_access_rule_moves_only_its_neighbour(target: SystemdTarget) -> None:
    before = look(target)
    rules = "/etc/postgresql/15/main/pg_hba.conf"
    target.check(["sed", "-i", "1i host shop app 10.0.0.0/8 scram-sha-256", rules])
    assert changes(before, look(target)) == {
        "hba rule 15/main host shop app 10.0.0.0 255.0.0.0": Kind.RUNTIME,
        "hba rule 15/main local all postgres": Kind.RUNTIME,
    }


def test_no_secret_is_shown(target: SystemdTarget, tmp_path: Path) -> None:
    kept = tmp_path / "snapshot.gz"
    snapshot = take(target, KEY, facets=[Facet.POSTGRESQL], keep=kept)
    items = snapshot.items[Facet.POSTGRESQL]
    assert items["role 15/main app"].values["password"]
    assert items["setting 15/main of role app in database shop"].values["shop.token"] != "open"
    assert b"SCRAM-SHA-256$" not in gzip.decompress(kept.read_bytes())


def test_a_server_that_refuses_is_an_error_and_one_that_is_stopped_is_down(target: SystemdTarget) -> None:
    rules = "/etc/postgresql/15/main/pg_hba.conf"
    target.check(["sed", "-i", "1i local postgres all reject", rules])
    load_configuration(target)
    with pytest.raises(HarnessError, match=r"cluster 15/main, database postgres: .*pg_hba\.conf rejects"):
        look(target)
    target.check(["systemctl", "stop", "postgresql@15-main.service"])
    items = look(target).items[Facet.POSTGRESQL]
    assert {name: dict(item.values) for name, item in items.items()} == {"cluster 15/main": {"state": "down"}}
