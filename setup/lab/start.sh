#!/bin/sh
# What the lab host does between its boot and its end, under tini, with the checkout in /lab.
# Output goes to the first virtio-serial port, the result to the second; the console is the kernel's.
export HOME=/root LANG=C.UTF-8 TERM=dumb

end() {
  sync
  # With -no-reboot a reset ends QEMU at once.
  echo b > /proc/sysrq-trigger
}
trap end EXIT

modprobe -a virtio_console kvm_amd nf_tables || exit 1
mount -t devpts devpts /dev/pts 2> /dev/null
mkdir -p /dev/shm
mount -t tmpfs -o size=3g tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
hostname lab
# As Debian's udev does it.
groupadd --system --force kvm
chgrp kvm /dev/kvm
chmod 660 /dev/kvm

cd /lab || exit 1
mkdir -p node_modules /assets
mount /dev/vdc node_modules || exit 1
mount /dev/vdd /assets || exit 1

# A redirection expands no patterns.
output=$(echo /dev/vport*p1)
result=$(echo /dev/vport*p2)
node setup/lab-inside.mjs "$result" > "$output" 2>&1
