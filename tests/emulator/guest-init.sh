#!/bin/sh
# The guest's first process: mounts, loads the kernel's modules in order, runs the test's scenario, switches off.
export PATH=/bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
mount -t tmpfs none /tmp
while read -r module parameters; do
    # shellcheck disable=SC2086 # the parameters are words
    insmod "/modules/$module.ko" $parameters || echo "guest: cannot load $module"
done < /modules/order

# Waits up to 20 s for a device node.
wait_for() {
    i=0
    while [ ! -e "$1" ]; do
        i=$((i + 1))
        [ $i -gt 1200 ] && echo "guest: no $1" && return 1
        usleep 100000
    done
}

echo "guest: ready"
. /scenario.sh
echo "guest: done"
poweroff -f
