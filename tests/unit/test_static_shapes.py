from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rejeu.static import shapes
from rejeu.static.verdicts import Shape, sql

READS = [
    "cat /etc/x",
    "grep -q a /etc/b || echo no",
    "[[ a > b ]] && echo 1",
    "(( 1 > 0 )) && ls",
    "awk '{ if ($1 > 5) print $2 }' /etc/x | sort | uniq -c",
    "sed -n '1p' f 2>/dev/null",
    "systemctl is-active foo",
    "systemctl --user list-units --all",
    "dpkg -l | grep '^ii' | awk '{print $2}'",
    "dpkg-query -W -f='${Version}' nginx",
    "rpm -qa --queryformat '%{NAME}'",
    "sysctl -n net.ipv4.ip_forward",
    "ip -o link show up dev eth0",
    "nft --check --file /etc/x",
    "nft list ruleset > /dev/null 2>&1",
    "iptables -S",
    "wg show wg0 dump",
    "psql -tAc \"SELECT 1 FROM pg_roles WHERE rolname='x'\"",
    'su - postgres -c "psql -c \\"SHOW data_directory\\" | head"',
    'mysql -uname -p{{ pw }} -e "SHOW DATABASES"',
    "sshd -t -f /etc/ssh/sshd_config",
    "nginx -t",
    "foo --version",
    "rkhunter --config-check --enable all",
    "kubectl -n x get pods -o json",
    "k3s kubectl get nodes",
    "kubectl cluster-info",
    "git -C /opt/x rev-parse HEAD",
    "sh -c 'cat /a; ls /b'",
    "show='nft list ruleset'; wanted=$(unshare --net sh -euc \"nft --file /etc/x; $show\") || exit 2",
    't=$(mktemp); ls > "$t"; rm -f $t',
    "for x in a b; do test -e $x; done",
    "if command -v foo >/dev/null; then foo -v; fi",
    "show() { cat /x; }; show",
    r"find / -name x -exec grep -l y {} \;",
    "curl -s -o /dev/null -w '%{http_code}' http://x",
    "wget -qO- http://x",
    "update-alternatives --query editor",
    "java -version",
    "apt-mark showhold",
    "apt-get update",
    "crontab -l",
    "passwd -S root",
    "useradd -D",
    "apparmor_status",
    "openssl x509 -noout -enddate -in /x",
    'case "$x" in a) echo 1;; *) echo 2;; esac',
    "set -o pipefail && gunzip --list x | head",
    "sudo -Hiu root env",
    "sudo -u postgres psql -lqt",
    "LANG=C timeout 5 cat /x",
    'test "$(stat -c %a /x)" = 600',
    'docker exec -i db psql -c "SELECT 1"',
    "echo $((1 > 0)) `date`",
    "diff <(sort a) <(sort b)",
    "cat <<EOF\nhello > world\nEOF",
    "source /etc/profile; echo $PATH # > /etc/x",
    "{% if x %}cat{% else %}head{% endif %} /etc/x",
    "echo a \\\n  b",
    "psql <<< 'SELECT 1'",
    "modprobe -n -v x",
    "modprobe --showconfig",
    "apt-get -s upgrade",
    "apt-get -qqs dist-upgrade",
    "rsync -avn /a /b",
    "restorecon -nv /etc",
    "ip netns exec x ip a",
    "kubectl apply --dry-run=server -f x",
    "make -n install",
    "pkill -0 -f x",
    "wipefs /dev/sdb",
    "wipefs -n -a /dev/sdb",
]
WRITES = [
    "echo a > /etc/x",
    "cat a 2>> b",
    "echo {{ x }} > {{ y }}",
    "echo 1 | tee /etc/x",
    "sed -i s/a/b/ x",
    "sed -ne p --in-place x",
    'psql -c "GRANT ALL ON x TO y"',
    "psql -c \"ALTER USER x PASSWORD 'y'\"",
    "psql <<EOF\nDELETE FROM x\nEOF",
    'psql -c "SELECT pg_reload_conf()"',
    "apt-mark hold foo",
    "apt-get -y install foo",
    "rm -rf /x",
    "sh -c 'rm /x'",
    "x=$(rm /y)",
    "echo `rm /y`",
    'echo "$(rm /y)"',
    "ls && rm /y",
    "(cd /x; touch y)",
    "if true; then touch /x; fi",
    'case "$x" in a) rm /x;; esac',
    "sysctl -w a=1",
    "sysctl a=1",
    "systemctl restart foo",
    "curl -o /x http://x",
    "curl -X POST http://x",
    "wget http://x",
    "find / -delete",
    r"find / -exec rm {} \;",
    "ip link set up dev x",
    "nft flush ruleset",
    "unshare --net sh -c 'nft flush ruleset; rm /x'",
    "docker exec c rm /x",
    "kubectl apply -f x",
    "git pull",
    "git branch new",
    "wg set wg0 x",
    "xargs rm < x",
    "awk '{print > \"/etc/x\"}' y",
    "passwd -l x",
    "useradd -D -f 30",
    "timedatectl set-ntp true",
    "sudo -u root env A=b timeout 5 touch /x",
    "modprobe -v x",
    "apt-get -y -oDpkg::Options::=--force-confdef upgrade",
    "rsync -av --numeric-ids /a /b",
    "restorecon -Rv /etc",
    "ip netns exec x ip link set up dev y",
    "ip netns exec x touch /y",
    "kubectl apply --dry-run=none -f x",
    "pkill -f x",
    "wipefs -af /dev/sdb",
]
OPEN = [
    "pam-auth-update --package",
    "locale-gen",
    "ldconfig",
    "systemctl daemon-reload",
    "curl https://x | sh",
    "foo --no-check",
    "su - x",
    "{{ x }} --foo",
    "{{ bin }} list",
    "systemctl {{ what }} foo",
    'psql -c "{{ q }}"',
    "python3 -c 'print(1)'",
    "$CMD foo",
    "bash /opt/x.sh",
    "/opt/y.py",
    "usbguard generate-policy",
    "psql -f /x.sql",
]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        *((text, Shape.READS) for text in READS),
        *((text, Shape.WRITES) for text in WRITES),
        *((text, Shape.OPEN) for text in OPEN),
    ],
)
def test_the_shape_of_a_shell_line(text: str, shape: Shape) -> None:
    assert shapes.shape("shell", text).shape is shape


@pytest.mark.parametrize(
    ("text", "stdin", "shape"),
    [
        ("echo a > /etc/x", "", Shape.READS),  # no shell: just words
        ("cat 'a b' && rm x", "", Shape.READS),
        ("touch /x", "", Shape.WRITES),
        ("sh -c 'touch /x'", "", Shape.WRITES),
        ("sh", "touch /x", Shape.WRITES),
        ("sh", "cat /x", Shape.READS),
        ("sh", "{{ lookup('template', 'x.sh.j2') }}", Shape.OPEN),
        ("psql", "SELECT 1", Shape.READS),
        ("psql", "DROP TABLE x", Shape.WRITES),
        ("echo 'unbalanced", "", Shape.OPEN),
    ],
)
def test_a_command_is_read_without_a_shell(text: str, stdin: str, shape: Shape) -> None:
    assert shapes.shape("command", text, stdin).shape is shape


def test_the_part_that_writes_is_told() -> None:
    assert shapes.shape("shell", "ls /x; sh -c 'chown {{ user }} /y'; cat /z").part == "chown {{ … }} /y"
    assert shapes.shape("shell", "ls > /etc/{{ name }}").part == "> /etc/{{ … }}"


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("SELECT 1; show all;", Shape.READS),
        ("-- a comment\nSELECT 'delete from x'", Shape.READS),
        ("WITH x AS (SELECT 1) SELECT * FROM x", Shape.READS),
        ("WITH x AS (DELETE FROM y RETURNING *) SELECT * FROM x", Shape.WRITES),
        ("SELECT * INTO y FROM x", Shape.WRITES),
        ("SELECT setval('s', 1)", Shape.WRITES),
        ("SELECT 1; GRANT ALL ON x TO y", Shape.WRITES),
        ("SELECT * FROM {{ table }}", Shape.READS),
        ("{{ query }}", Shape.OPEN),
        ("VACUUM", Shape.WRITES),
    ],
)
def test_the_shape_of_sql(text: str, shape: Shape) -> None:
    assert sql(text).shape is shape


@given(text=st.text(alphabet=st.sampled_from("ab \n\t\"'`$(){}[]<>|&;#\\=-!{%}")))
def test_any_text_has_a_shape(text: str) -> None:
    assert shapes.shape("shell", text).shape in Shape
    assert shapes.shape("command", text).shape in Shape
