import errno
import hashlib
import hmac
import os
import socket
from pathlib import Path

import pytest

from rejeu.observe.agent import files, mounts
from rejeu.observe.snapshot import FileEntry

KEY = b"0123456789abcdef"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path


def look(root: Path, mounts: set[str] | None = None, key: bytes = KEY) -> dict[str, FileEntry]:
    rows = files.walk(str(root), mounts or set(), key, areas=(str(root),))
    return {entry.path.removeprefix(str(root)): entry for entry in (FileEntry(*row) for row in rows)}


def test_a_file_is_shown_whole(tree: Path) -> None:
    path = tree / "motd"
    path.write_text("hello\n")
    path.chmod(0o640 | 0o004)
    entry, found = look(tree)["/motd"], path.stat()
    assert (entry.type, entry.mode, entry.size) == ("file", 0o644, 6)
    assert (entry.uid, entry.gid, entry.inode) == (found.st_uid, found.st_gid, found.st_ino)
    assert (entry.mtime_ns, entry.ctime_ns) == (found.st_mtime_ns, found.st_ctime_ns)
    assert entry.digest == hmac.new(KEY, b"hello\n", hashlib.sha256).hexdigest()[:32]
    assert entry.text == "hello\n"


def test_the_digest_depends_on_the_run_s_key(tree: Path) -> None:
    (tree / "secret").write_text("1234")
    assert look(tree)["/secret"].digest != look(tree, key=b"another")["/secret"].digest


@pytest.mark.parametrize("size", [0, 1, files.CHUNK - 1, files.CHUNK, files.CHUNK + 1, 3 * files.CHUNK])
def test_every_byte_counts(tree: Path, size: int) -> None:
    data = bytes(size)
    (tree / "data").write_bytes(data)
    assert look(tree)["/data"].digest == hmac.new(KEY, data, hashlib.sha256).hexdigest()[:32]


@pytest.mark.parametrize(
    ("data", "mode", "is_text"),
    [
        (b"x = 1\n", 0o644, True),
        ("é\n".encode(), 0o444, True),
        (b"x = 1\n", 0o640, False),
        (b"a\0b", 0o644, False),
        (b"\xff\xfe", 0o644, False),
        (b"x" * files.TEXT_LIMIT, 0o644, True),
        (b"x" * (files.TEXT_LIMIT + 1), 0o644, False),
    ],
)
def test_only_small_public_text_is_taken_along(tree: Path, data: bytes, mode: int, is_text: bool) -> None:
    (tree / "conf").write_bytes(data)
    (tree / "conf").chmod(mode)
    assert look(tree)["/conf"].text == (data.decode() if is_text else None)


@pytest.mark.parametrize(("mode", "text"), [(0o755, "x"), (0o750, None), (0o754, None)])
def test_text_under_a_closed_directory_is_not_public(tree: Path, mode: int, text: str | None) -> None:
    (tree / "closed" / "deep").mkdir(parents=True)
    (tree / "closed" / "deep" / "conf").write_text("x")
    (tree / "closed" / "deep" / "conf").chmod(0o644)
    (tree / "closed" / "deep").chmod(0o755)
    (tree / "closed").chmod(mode)
    assert look(tree)["/closed/deep/conf"].text == text


def test_text_outside_the_areas_is_not_taken_along(tree: Path) -> None:
    (tree / "etc").mkdir()
    (tree / "etc2").mkdir()
    for name in ("etc", "etc2"):
        (tree / name).chmod(0o755)
        (tree / name / "conf").write_text("x")
        (tree / name / "conf").chmod(0o644)
    rows = files.walk(str(tree), set(), KEY, areas=(str(tree / "etc"),))
    texts = {row[0].removeprefix(str(tree)): row[12] for row in rows if row[1] == "file"}
    assert texts == {"/etc/conf": "x", "/etc2/conf": None}


def test_nothing_is_followed_and_nothing_blocks(tree: Path) -> None:
    (tree / "real").mkdir()
    (tree / "real" / "inside").write_text("x")
    (tree / "link").symlink_to("real")
    (tree / "dangling").symlink_to("/nowhere/\n")
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tree / "sock"))
        shown = {path: (entry.type, entry.link, entry.digest is None) for path, entry in look(tree).items()}
    assert shown == {
        "": ("directory", None, True),
        "/real": ("directory", None, True),
        "/real/inside": ("file", None, False),
        "/link": ("symlink", "real", True),
        "/dangling": ("symlink", "/nowhere/\\n", True),
        "/fifo": ("fifo", None, True),
        "/sock": ("socket", None, True),
    }


def test_mount_points_are_left_out_with_all_under_them(tree: Path) -> None:
    (tree / "proc" / "1").mkdir(parents=True)
    (tree / "resolv.conf").write_text("x")
    (tree / "kept").write_text("x")
    assert look(tree, mounts={f"{tree}/proc", f"{tree}/resolv.conf"}).keys() == {"", "/kept"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [(b"caf\xc3\xa9", "café"), (b"bad\xff", "bad\\udcff"), (b"new\nline", "new\\nline"), (b"a b", "a b")],
)
def test_any_name_is_printable(tree: Path, name: bytes, shown: str) -> None:
    Path(os.fsdecode(os.fsencode(tree) + b"/" + name)).write_text("x")
    assert look(tree).keys() == {"", f"/{shown}"}
    assert shown.encode()


def test_a_huge_file_is_judged_by_size_and_time(tree: Path) -> None:
    with (tree / "sparse").open("wb") as file:
        file.truncate(10 * 1024**3)
    before = look(tree)["/sparse"]
    assert before.digest is not None
    assert before.digest.startswith("too large to read")
    os.utime(tree / "sparse", ns=(1, 1))
    assert look(tree)["/sparse"].digest != before.digest


def test_what_vanishes_meanwhile_is_left_out(tree: Path) -> None:
    (tree / "b").mkdir()
    (tree / "a").write_text("x")
    rows = files.walk(str(tree), set(), KEY)
    assert next(rows)[0] == str(tree)
    (tree / "a").unlink()
    (tree / "b").rmdir()
    assert list(rows) == []


def test_what_cannot_be_looked_at_says_so_and_ends_nothing(tree: Path) -> None:
    """Here because its path is longer than the kernel takes."""
    (tree / "kept").write_text("x")
    name = "d" * 250
    descriptor = os.open(tree, os.O_RDONLY)
    for _ in range(17):
        os.mkdir(name, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    shown = look(tree)
    assert "/kept" in shown
    assert [entry.digest for entry in shown.values() if entry.type == "unknown"] == ["unreadable: ENAMETOOLONG"]


@pytest.mark.skipif(os.geteuid() != 0, reason="a capability is set by root alone")
def test_a_capability_is_shown(tree: Path) -> None:
    tool = tree / "tool"
    tool.write_text("#!/bin/sh\n")
    assert look(tree)["/tool"].capabilities is None
    # cap_net_raw, effective and permitted, in the kernel's own form (linux/capability.h, revision 2).
    os.setxattr(tool, "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    shown = look(tree)["/tool"]
    assert (shown.capabilities, shown.acl, shown.xattrs) == ("permitted 0x2000, effective", None, None)


ACL = bytes.fromhex("0200000001000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000000ffffffff")


def test_an_acl_is_shown() -> None:
    """The kernel's form of ``setfacl -m u:1000:r`` on a file of mode 0640."""
    assert files.acl(ACL) == "user::rw-,user:1000:r--,group::r--,mask::r--,other::---"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0100000200200000000000000000000000000000", "permitted 0x2000, effective"),
        ("0000000200000000000400000100000000000000", "permitted 0x100000000, inheritable 0x400"),
        ("01000003002000000000000000000000000000000a000000", "permitted 0x2000, effective, root 10"),
    ],
)
def test_capabilities_are_shown(value: str, said: str) -> None:
    assert files.file_capabilities(bytes.fromhex(value)) == said


@pytest.mark.skipif(os.geteuid() != 0, reason="a trusted attribute is set by root alone")
def test_another_attribute_is_a_keyed_digest(tree: Path) -> None:
    (tree / "file").write_text("x")
    try:
        os.setxattr(tree / "file", "trusted.rejeu", b"secret")
    except OSError:
        pytest.skip("this file system has no such attributes")
    shown = look(tree)["/file"]
    assert (shown.acl, shown.capabilities) == (None, None)
    assert shown.xattrs not in (None, look(tree, key=b"another")["/file"].xattrs)


def mount(point: str, device: str = "8:1", root: str = "/", type: str = "ext4", id: str = "1") -> mounts.Mount:
    return mounts.Mount(id, device, root, point, "rw", type, "/dev/sda", "rw,size=1k")


def test_a_directory_that_cannot_be_listed_says_so(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "closed").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(errno.EACCES, "no")
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    assert {path: entry.digest for path, entry in look(tree).items()} == {"": None, "/closed": "unreadable: EACCES"}


def test_what_lies_below_a_closed_directory_is_not_open_to_all(tmp_path: Path) -> None:
    """pytest's own directory is."""
    assert files.open_to_all("/usr/bin")
    assert not files.open_to_all(str(tmp_path))


def test_a_mount_as_the_kernel_tells_it() -> None:
    line = r"36 35 98:0 /sub /mnt/a\040b rw,noatime shared:1 - ext4 /dev/root rw,errors=continue"
    (found,) = mounts.mounted(line + "\n")
    assert (found.id, found.device, found.root, found.point) == ("36", "98:0", "/sub", "/mnt/a b")
    assert (found.options, found.type, found.source) == ("rw,noatime", "ext4", "/dev/root")
    assert mounts.mounted(line.replace("shared:1 ", "")) == [found]


@pytest.mark.parametrize(
    ("others", "walked"),
    [
        ([mount("/home", "8:2")], ["/", "/home"]),
        ([mount("/home", "8:2", type="nfs4"), mount("/sys", "0:1", type="sysfs")], ["/"]),
        ([mount("/srv", "8:1", root="/home")], ["/"]),
        ([mount("/srv", "8:2", root="/data"), mount("/data", "8:2", root="/data/x")], ["/", "/srv"]),
        ([mount("/a", "8:2", root="/@a"), mount("/b", "8:2", root="/@ab")], ["/", "/a", "/b"]),
        ([mount("/file", "8:2")], ["/"]),
        ([mount("/var/lib/docker/overlay2/1/merged", "0:9", type="overlay")], ["/"]),
        ([mount("/home", "8:2"), mount("/home", "0:3", type="tmpfs")], ["/"]),
        ([mount("/run", "0:3", type="tmpfs"), mount("/dev/shm", "0:4", type="tmpfs")], ["/", "/run"]),
    ],
)
def test_every_local_file_system_is_walked_once(
    monkeypatch: pytest.MonkeyPatch, others: list[mounts.Mount], walked: list[str]
) -> None:
    monkeypatch.setattr("os.path.isdir", lambda path: path != "/file")
    assert mounts.file_system_roots([mount("/"), *others]) == walked


def test_mounts_of_containers_services_and_sessions_are_no_state() -> None:
    found = [mount("/"), mount("/proc/sys"), mount("/run/user/0"), mount("/var/lib/kubelet/pods/1"), mount("/run")]
    assert [row[0] for row in mounts.rows(found)] == ["mount /", "mount /run"]


def test_a_mount_has_its_options_and_another_identity_when_made_again() -> None:
    expected = {"source": "/dev/sda", "type": "ext4", "options": "rw,size=1k"}
    assert mounts.rows([mount("/", id="7")]) == [["mount /", expected, "7"]]
    assert mounts.rows([mount("/", type="overlay")])[0][1]["options"] == "rw"


def test_two_mounts_at_one_point_are_two() -> None:
    assert [row[0] for row in mounts.rows([mount("/a"), mount("/a")])] == ["mount /a", "mount /a (layer 2)"]
