# shellcheck shell=busybox
# Functions for the scripts in the virtual machine, for the shell of busybox.

# record NAME: begins a part of the output with this name.
record() {
    printf '\035%s\n' "$1"
}

# group DIRECTORY [FILE=VALUE...]: makes a cgroup with these limits.
group() {
    mkdir -p "$1"
    cgroup=$1
    shift
    for setting in "$@"; do
        echo "${setting#*=}" >"$cgroup/${setting%%=*}"
    done
}

# enable CGROUP CONTROLLER...: enables controllers for the children of a cgroup, as soon as v1 has
# released them.
enable() {
    cgroup=$1
    shift
    for controller in "$@"; do
        until echo "+$controller" >"$cgroup/cgroup.subtree_control"; do :; done 2>/dev/null
    done
}

# enter CGROUP...: moves this shell into these cgroups. 0 means the process that writes, so this works in
# a subshell too.
enter() {
    for cgroup in "$@"; do
        echo 0 >"$cgroup/cgroup.procs"
    done
}

# clear_groups CGROUP: removes all cgroups below, as soon as their processes have ended.
clear_groups() {
    find "$1" -mindepth 1 -type d | sort -r | while read -r cgroup; do
        until rmdir "$cgroup" 2>/dev/null; do :; done
    done
}

# release CONTROLLER DIRECTORY: releases a controller from v1. If a hierarchy is unmounted before its last
# removed cgroup is gone, the kernel keeps it forever.
release() {
    clear_groups "$2"
    until awk -v name="$1" '$1 == name && $3 == 1 { gone = 1 } END { exit !gone }' /proc/cgroups; do
        echo 1 >/proc/sys/vm/drop_caches
    done
    umount "$2"
}

show() {
    record "${2-$1}"
    cat "$1"
}

# Lists the limit files of all visible cgroups.
limit_files() {
    find /sys/fs/cgroup -name cgroup.controllers -o -name memory.max -o -name memory.high \
        -o -name cpu.max -o -name memory.limit_in_bytes -o -name 'cpu.cfs_*_us'
    find /sys/fs/cgroup -name memory.limit_in_bytes | sed 's/limit_in_bytes$/stat/'
}

# Prints the files that loadline may read about this shell: a tree for --root.
capture() {
    for file in cgroup mountinfo status; do
        show /proc/$$/$file /proc/self/$file
    done
    show /proc/meminfo
    limit_files | sort | while read -r file; do show "$file"; done
    # The one of the root is long, and loadline does not read it.
    find /sys/fs/cgroup -mindepth 2 -name cgroup.procs | while read -r file; do
        ! grep -qx $$ "$file" || show "$file"
    done
}

# Allocates a buffer and writes to all of it.
fill() {
    dd if=/dev/zero of=/dev/null bs="$1" count=1 2>/dev/null
}

# How many the OOM killer has taken in a cgroup and below, and what its own limit has stopped.
counts() {
    if [ -e "$1/memory.events" ]; then
        cat "$1/memory.events"
        sed 's/^/local /' "$1/memory.events.local"
    else
        # v1 counts the killed where they were.
        find "$1" -name memory.oom_control -exec sed -n 's/^oom_kill //p' {} + |
            awk '{ sum += $1 } END { print "oom_kill", sum }'
        echo "local oom $(cat "$1/memory.failcnt")"
    fi
}

# overfill CGROUP FITS TOO_MUCH: allocates the first size, then the second, with the counts before and
# after each.
overfill() {
    counts "$1"
    for size in "$2" "$3"; do
        fill "$size"
        echo "exit $?"
        counts "$1"
    done
}

# burn CGROUP: is busy until the quota of the cgroup throttles it once more.
burn() {
    throttled() { sed -n 's/^nr_throttled //p' "$1/cpu.stat"; }
    before=$(throttled "$1") && [ -n "$before" ] || return
    until [ "$(throttled "$1")" -gt "$before" ]; do :; done
    echo throttled
}

# reaped PID: waits until a process that has ended is reaped.
reaped() {
    # shellcheck disable=SC2016 # the parameter is that of the inner shell
    timeout 20 sh -c 'while [ -e /proc/$0 ]; do :; done' "$1" && echo "reaped"
}

# wait_until_idle PID: waits until a loadline sleeps: in ppoll(2) if it watches something, otherwise in
# rt_sigtimedwait(2) without a timeout. timeout(1) would add a child of loadline.
wait_until_idle() {
    for _ in $(seq 2000); do
        ! grep -q '^271 \|^128 0x[0-9a-f]* 0x[0-9a-f]* 0x0 ' "/proc/$1/syscall" || return 0
    done
    echo "$1 does not become idle"
}

# sleeps PID: prints how often a process has gone to sleep so far.
sleeps() {
    awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$1/status"
}

# Prints the seconds since the machine was started.
seconds() {
    cut -d ' ' -f 1 /proc/uptime
}

# show_until PATTERN: prints the lines of descriptor 3, up to one that matches, or up to the end.
show_until() {
    # shellcheck disable=SC3045 # busybox has it
    while read -r -t 20 line <&3; do
        echo "$line"
        # shellcheck disable=SC2254 # this is a pattern
        case $line in $1) return ;; esac
    done
    echo "no line matches $1"
}

# with_cache SIZE: charges this much page cache to the cgroup of this shell. The kernel keeps the page
# cache of the disk while a process has it open.
with_cache() {
    exec 3</dev/nvme0n1
    echo 1 >/proc/sys/vm/drop_caches
    head -c "$1" <&3 >/dev/null
}
