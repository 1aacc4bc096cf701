#!/bin/busybox sh
# Process 1 of the test guest, twice: first in the initramfs, which cannot be pivoted away from and so moves what it
# holds to a tmpfs, then there. The machine it makes has cgroup v2 alone, with all of the kernel's controllers.
export PATH=/bin HOME=/root
if [ ! -e /moved ]; then
  mount -t tmpfs -o size=75% root /newroot
  cp -a /bin /etc /init /lib* /repo /root /run /tmp /newroot/
  mkdir /newroot/dev /newroot/proc /newroot/sys
  : >/newroot/moved
  exec switch_root /newroot /init
fi
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t cgroup2 none /sys/fs/cgroup
ip link set lo up
cd /repo
echo "guest: Linux $(uname -r), controllers: $(cat /sys/fs/cgroup/cgroup.controllers)"
# shellcheck disable=SC2046
node --test --test-concurrency=1 --test-reporter=tap $(cat /etc/suites) 2>&1
echo "guest: end"
poweroff -f
