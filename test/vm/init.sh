#!/bin/busybox sh
# Process 1 of the test guest, up to its root. With a disk that is systemd on it; without one it is this script once
# more, on a tmpfs: what is in the initramfs cannot be pivoted away from. That machine has cgroup v2 alone, with all of
# the kernel's controllers.
export PATH=/bin HOME=/root
if [ ! -e /moved ]; then
  mount -t devtmpfs dev /dev
  # twice: those that need another one, whose name comes later
  for module in /modules/* /modules/*; do
    [ ! -e "$module" ] || insmod "$module" 2>/dev/null
  done
  if [ -e /dev/nvme0n1 ]; then
    mount -t ext4 /dev/nvme0n1 /newroot
    mount -t tmpfs -o size=75%,mode=755 berth /newroot/berth
    cp -a /bin/node /etc/suites /repo /programs /suites.sh /newroot/berth/
    exec switch_root /newroot /lib/systemd/systemd
  fi
  umount /dev
  mount -t tmpfs -o size=75% root /newroot
  cp -a /bin /etc /init /init.sh /lib* /programs /repo /root /run /suites.sh /tmp /newroot/
  [ ! -e /usr ] || cp -a /usr /newroot/
  mkdir /newroot/dev /newroot/proc /newroot/sys /newroot/berth
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
mount -t securityfs none /sys/kernel/security
ip link set lo up
mv /programs /repo /suites.sh /etc/suites /bin/node /berth/
/berth/suites.sh
poweroff -f
