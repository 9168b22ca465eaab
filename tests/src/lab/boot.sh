# PID 1 of a new host, until it becomes systemd. Given: the room of the host, its name, and where systemd is.
set -eu
room=$1 name=$2 systemd=$3

# /proc is still that of the machine, and in it this shell has the number by which the machine knows the host.
read -r pid _ </proc/self/stat
echo "$pid"
exec >&2

ip link set lo up

# A disk that forgets. Only the root itself is below: what is mounted elsewhere on the machine is not seen.
mount -t tmpfs tmpfs "$room/disk"
cd "$room/disk"
mkdir upper work root
mount -t overlay overlay -o "lowerdir=/,upperdir=$PWD/upper,workdir=$PWD/work" root
cd root

# The kernel is shared, so its settings are not for the host to change: read-only they keep udev, sysctl and the like
# of the host from touching the machine.
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup

# Devices that are nobody's hardware, and none by which the host would write to the machine's console or kernel log.
mount -t tmpfs -o mode=755,nosuid tmpfs dev
for node in null zero full random urandom tty; do
  : >"dev/$node"
  mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/pts dev/shm dev/mqueue
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr

# systemd empties /tmp and /run as it boots: they must never be those of the machine.
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs tmp
mkdir run/lock
mkdir -p ".$room/shared"
mount --bind "$room/shared" ".$room/shared"

# A freshly installed system with nothing enabled, whatever this machine has.
echo "$name" >etc/hostname
rm -f etc/machine-id
tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
: >etc/fstab
rm -rf etc/systemd/system usr/lib/systemd/system-generators
for target in local-fs sysinit basic sockets timers; do
  rm -rf "usr/lib/systemd/system/$target.target.wants"
done
mkdir -p etc/systemd/system
cat >etc/systemd/system/lab.target <<END
[Unit]
Description=Host of the lab
Requires=basic.target
Wants=systemd-journald.service systemd-tmpfiles-setup.service dbus.service
After=basic.target systemd-journald.service systemd-tmpfiles-setup.service dbus.service
AllowIsolate=yes
END

pivot_root . .
umount -l .
exec env -i container=salve-lab "$systemd" --system --unit=lab.target
