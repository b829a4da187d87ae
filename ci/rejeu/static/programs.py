"""Which programs only read, which write, and the words by which one can tell. Data, for any role."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Whatever they are given, these change nothing.
READERS = words(
    """
    : . [ [[ a2query apt-cache apt-config arch b2sum base64 basename blkid break cat cd cksum cmp column comm continue
    cut debconf-show declare df diff dig dirname dmesg dmidecode dpkg-query du echo egrep exit expand export expr
    false fgrep file findmnt fold free getcap getconf getenforce getent getfacl getfattr getsebool grep groups hash head
    hexdump host hostid id ip6tables-save iptables-save join jq last ldd let local locale logname ls lsattr
    lsb_release lsblk lscpu lsipc lslocks lsmod lsns lsof lspci lsusb lvdisplay lvs md5sum mktemp modinfo mountpoint
    named-checkconf named-checkzone netstat nl nm nproc nslookup numfmt objdump od paste pathchk pg_config
    pg_controldata pg_isready pg_lsclusters pgrep pidof ping ping6 popd printenv printf ps pstree pushd pvdisplay pvs
    pwd read readelf readlink readonly realpath return rev rgrep seq sestatus set sha1sum sha224sum sha256sum sha384sum
    sha512sum shasum shift shopt sleep source ss stat strings sum systemd-analyze systemd-detect-virt systemd-escape tac
    tail test testparm tr tracepath traceroute trap true tty type ulimit umask uname uniq unset uptime users
    vercmp vgdisplay vgs w wait wc whatis whereis which who whoami xmllint xxd yes zcat zgrep zipinfo
    """
)

# They write whatever the words that follow look like. What only makes anew what follows from other files (a cache, an
# index) is not here: that it does so each time may be meant.
WRITERS = words(
    """
    a2disconf a2dismod a2dissite a2enconf a2enmod a2ensite adduser addgroup chage chattr chcon chgrp chmod chown
    chpasswd cp createdb createuser crontab dd deluser dropdb dropuser fallocate gpasswd groupadd groupdel groupmod
    grub-install htpasswd ifdown ifup insmod install ip6tables-restore iptables-restore ln mkdir mkfifo mknod mkswap
    modprobe mv passwd patch pg_createcluster pg_dropcluster pg_restore poweroff reboot renice restorecon rm rmdir
    rmmod rsync scp setcap setfacl setfattr setsebool shred shutdown split ssh-keygen swapoff touch truncate unlink
    unzip update-rc.d useradd userdel usermod wg-quick
    """
)

# Run with code of their own, which cannot be judged here.
INTERPRETERS = words("python python2 python3 perl ruby node php lua mongo mongosh osascript pwsh groovy")
SHELLS = words("sh bash dash ash zsh ksh busybox")

# Programs that run another one: their options that take a value, and how many words of their own come before it.
WRAPPERS: dict[str, tuple[frozenset[str], int]] = {
    "chroot": (frozenset(), 1),
    "doas": (frozenset({"-u", "-C"}), 0),
    "env": (frozenset({"-u", "-C", "-S"}), 0),
    "exec": (frozenset({"-a"}), 0),
    "flock": (frozenset({"-w", "-E"}), 1),
    "gosu": (frozenset(), 1),
    "ionice": (frozenset({"-c", "-n"}), 0),
    "nice": (frozenset({"-n"}), 0),
    "nohup": (frozenset(), 0),
    "runuser": (frozenset({"-u", "-g", "--user"}), 0),
    "setsid": (frozenset(), 0),
    "stdbuf": (frozenset({"-i", "-o", "-e"}), 0),
    "sudo": (frozenset({"-u", "-g", "-h", "-p", "-C", "-U", "--user", "--group"}), 0),
    "time": (frozenset(), 0),
    "timeout": (frozenset({"-s", "-k", "--signal", "--kill-after"}), 1),
    "unshare": (frozenset(), 0),
    "xargs": (frozenset({"-n", "-I", "-P", "-L", "-d", "-s", "-a", "-E"}), 0),
}

# Network settings: those of a network namespace that ends with the command are not the host's.
NETWORK = words("nft ip iptables ip6tables tc ethtool brctl bridge wg")

# Options by which nearly every program does nothing but tell.
TELLING_OPTIONS = words(
    """
    --version --help --dry-run --dryrun --simulate --just-print --no-act --noop --check --checkconf --validate
    --syntax-check --configtest --test --assumeno --noaction --pretend --recon --list-only --showconfig --show-config
    --show-depends
    """
)
LONE_TELLING_OPTIONS = words("-v -V -h -version --v help version")

READING_WORDS = words(
    """
    audit can cat check checkhealth cluster-info compare configtest count current describe diff display doctor dump
    dumpmachine dumpversion exists explain find fingerprint get has health help history images info inspect is lint
    list locate log logs lookup ls members modules ping plan print ps query ready report rev search show showauto
    showhold showmanual stat state stats status summary template test top validate verify version versions view whoami
    """
)
WRITING_WORDS = words(
    """
    activate add allow alter annotate apply assign autoremove backup build cancel change checkout clean clear clone
    commit configure copy cordon cp create deactivate delete del deny deploy dequeue disable download drain
    drop dup edit enable end eval exec expire fetch fix flush force format grant hold import init
    initialize insert install join kill label leave load lock login logout mask merge mod modify mount move mv new
    patch prune publish pull purge push put reboot rebuild recompile reconfigure recreate refresh register reload remove
    rename renew repair replace reset resize restart restore resume revoke rm rollback rollout rotate run save scale
    schedule send set setup start stop suspend switch sync taint terminate trigger trust umount unassign undo
    unhold uninstall unload unlock unmask unmount unregister unset untaint up update upgrade upload vacuum write
    """
)
# They print, or write where they please.
AMBIGUOUS_WORDS = words("convert export gen generate sign")
SCRIPT_SUFFIXES = words(".sh .bash .py .pl .rb .php .js")

# The lists of available packages are no state of the host: the files facet does not hold them against a task either.
INDEX_REFRESHES = frozenset(
    {
        ("apk", "update"),
        ("apt", "update"),
        ("dnf", "makecache"),
        ("dnf", "check-update"),
        ("yum", "makecache"),
        ("yum", "check-update"),
        ("zypper", "refresh"),
        ("zypper", "ref"),
    }
)
