# Keeps a host under power for as long as standard input is open. The owner holds the other end: when it cuts the
# power, and just as well when it crashes, the input ends. Given: the host's cgroup, the text of boot.sh, and what
# boot.sh is given.
cgroup=$1 boot=$2
shift 2

# The new PID 1 joins the cgroup first, so that its cgroup namespace is rooted there. It joins alone: a process of ours
# beside it would keep systemd from handing controllers on to its services.
unshare --fork --kill-child --pid --mount --uts --ipc --net \
  sh -c 'echo 0 >"$1/cgroup.procs" && shift && exec unshare --cgroup sh -c "$@"' join "$cgroup" "$boot" boot "$@" \
  </dev/null &
outer=$!
exec >&2 # The owner reads the host's PID, or the end of the pipe if there will be none: do not keep it open.

read -r _
# PID 1 and not unshare: that one reaps it, with all that was in the host, and ends when nothing is left.
read -r init <"/proc/$outer/task/$outer/children"
kill -9 "${init:-$outer}"
wait "$outer"
