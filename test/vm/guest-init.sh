#!/bin/busybox sh
# PID 1 of the guest until the real root stands: the host's root, read-only, under a tmpfs overlay. An emulated machine gets it
# over 9p; a kernel that is a process of the host (user-mode) opens it itself.
# Whatever goes wrong is said on the console and powers off; nothing hangs.
/bin/busybox --install -s /bin
export PATH=/bin
fail() {
  echo "guest-init: $*"
  reboot -f
}
mkdir -p /proc /sys /dev /host /rw /root
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev || fail 'proc, sys or dev'
for module in /modules/*.ko; do insmod "$module" || fail "insmod $module"; done

control=$(sed -n 's/.*hivepulse_control=\([^ ]*\).*/\1/p' /proc/cmdline)
share='trans=virtio,version=9p2000.L,msize=512000'
if [ -n "$control" ]; then
  disk=ubda
  mount -t hostfs -o ro,/ none /host || fail "the host's root"
else
  disk=vda
  mount -t 9p -o "ro,$share,cache=loose" host /host || fail 'the root over 9p'
fi
mount -t tmpfs -o size=75% rw /rw && mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work root /root || fail 'the overlay'
for dir in proc sys dev; do mount --move "/$dir" "/root/$dir" || fail "moving /$dir"; done
ln -s /proc/self/fd /root/dev/fd
ln -s /proc/self/fd/0 /root/dev/stdin
ln -s /proc/self/fd/1 /root/dev/stdout
ln -s /proc/self/fd/2 /root/dev/stderr
mkdir -p /root/dev/pts /root/dev/shm /root/scratch
mount -t devpts -o ptmxmode=666 devpts /root/dev/pts
mount -t tmpfs shm /root/dev/shm
mount -t tmpfs -o mode=755 run /root/run
ln -s "/root/dev/$disk" "/dev/$disk"
mount -t ext4 "/root/dev/$disk" /root/scratch || fail 'the scratch disk'
mkdir /root/run/vm
if [ -n "$control" ]; then
  mount -t hostfs -o "$control" none /root/run/vm || fail 'the control share'
else
  mount -t 9p -o "$share" control /root/run/vm || fail 'the control share'
fi
ip link set lo up
hostname hivepulse-vm

if [ -f /root/run/vm/units/job.service ]; then
  # systemd mounts the cgroup tree itself, and owns it. Units of the host that nothing here needs stay out of its way.
  cp -r /root/run/vm/units/. /root/etc/systemd/system/
  rm -f /root/etc/fstab
  exec switch_root /root /lib/systemd/systemd --system --unit=job.target
fi
mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /root/sys/fs/cgroup || fail 'cgroup2'
chroot /root /bin/bash /run/vm/job </root/dev/null >/root/dev/console 2>&1
fail 'the job ended without powering off'
