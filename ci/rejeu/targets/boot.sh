#!/bin/sh
# The first thing a target runs: it makes the machine quiet, then becomes systemd. Its arguments say what its domains
# need beyond that: `nesting`, and settings of the host's kernel as NAME=VALUE.
set -eu

if [ "${1-}" = nesting ]; then
    shift
    # Containers within see the mounts that are made later.
    mount --make-rshared /
    while read -r _ where type _; do
        if [ "$type" = cgroup ]; then mount -o remount,bind,rw "$where"; fi
    done </proc/mounts
fi

# Docker leaves /proc/sys read-only. The network part belongs to this container alone, so roles may write it; the
# rest is the host's and stays read-only.
mount --bind /proc/sys/net /proc/sys/net
mount -o remount,bind,rw /proc/sys/net

# With cgroup v2 Docker mounts the container's own part of the hierarchy read-only, and systemd cannot work without it.
if [ "$(stat --file-system --format=%T /sys/fs/cgroup)" = cgroup2fs ]; then
    mount -o remount,rw /sys/fs/cgroup
fi

# A service that insists on a setting of the host's kernel finds it in a file of this container.
mkdir -p /run/rejeu/kernel
for setting in "$@"; do
    name=${setting%%=*}
    echo "${setting#*=}" >"/run/rejeu/kernel/$name"
    mount --bind "/run/rejeu/kernel/$name" "/proc/sys/$(echo "$name" | tr . /)"
done

# A persistent timer whose stamp is old fires at once in a target made from a commit.
for stamp in /var/lib/systemd/timers/stamp-*; do
    if [ -e "$stamp" ]; then touch "$stamp"; fi
done

# Nothing else may happen while a verdict is formed, so the distribution's own timers never elapse. Drop-ins in /run
# do not touch what roles manage: a timer can still be enabled, started, and found active.
hold() {
    mkdir -p "/run/systemd/system/$1.d"
    printf '[Timer]\nOnCalendar=\nOnCalendar=2099-01-01\nPersistent=false\n' >"/run/systemd/system/$1.d/zz-rejeu-hold.conf"
}
for timer in apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all fstrim logrotate man-db motd-news \
    systemd-tmpfiles-clean update-notifier-download update-notifier-motd ua-timer esm-cache apport-autoreport; do
    hold "$timer.timer"
done

exec /sbin/init
