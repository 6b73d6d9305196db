# shellcheck shell=busybox
# What the scripts that run in the virtual machine have in common, for busybox's sh.

# What follows in the output is about this.
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

# hand_down CGROUP CONTROLLER...: gives its children the files of controllers, as soon as they have
# come back from v1.
hand_down() {
    cgroup=$1
    shift
    for controller in "$@"; do
        until echo "+$controller" >"$cgroup/cgroup.subtree_control"; do :; done 2>/dev/null
    done
}

# Moves this shell, a subshell too (0 is whoever writes), into a cgroup of each hierarchy.
enter() {
    for cgroup in "$@"; do
        echo 0 >"$cgroup/cgroup.procs"
    done
}

# Removes all cgroups below, as soon as what was in them has ended.
clear_groups() {
    find "$1" -mindepth 1 -type d | sort -r | while read -r cgroup; do
        until rmdir "$cgroup" 2>/dev/null; do :; done
    done
}

# release CONTROLLER DIRECTORY: takes it from v1. The kernel keeps a hierarchy for good that is
# unmounted before its last removed cgroup is gone.
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

# The files of all cgroups in sight that hold a limit.
limit_files() {
    find /sys/fs/cgroup -name cgroup.controllers -o -name memory.max -o -name memory.high \
        -o -name cpu.max -o -name memory.limit_in_bytes -o -name 'cpu.cfs_*_us'
    find /sys/fs/cgroup -name memory.limit_in_bytes | sed 's/limit_in_bytes$/stat/'
}

# Shows what loadline may read about this shell: a tree that it can be given as --root.
capture() {
    for file in cgroup mountinfo status; do
        show /proc/$$/$file /proc/self/$file
    done
    show /proc/meminfo
    limit_files | sort | while read -r file; do show "$file"; done
    # That of a root is long, and not looked at.
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

# overfill CGROUP FITS TOO_MUCH: allocates both, one after the other, and counts around them.
overfill() {
    counts "$1"
    for size in "$2" "$3"; do
        fill "$size"
        echo "exit $?"
        counts "$1"
    done
}

# Is busy until the quota of the cgroup has stopped it once more.
burn() {
    throttled() { sed -n 's/^nr_throttled //p' "$1/cpu.stat"; }
    before=$(throttled "$1") && [ -n "$before" ] || return
    until [ "$(throttled "$1")" -gt "$before" ]; do :; done
    echo throttled
}

# Whether a process that has ended is reaped, given time.
reaped() {
    # shellcheck disable=SC2016 # the parameter is that of the inner shell
    timeout 20 sh -c 'while [ -e /proc/$0 ]; do :; done' "$1" && echo "reaped"
}

# Waits until a loadline is at rest: in ppoll(2) where it follows something, otherwise in
# rt_sigtimedwait(2) without a time. Not by timeout, whose watcher would become its child.
rests() {
    for _ in $(seq 2000); do
        ! grep -q '^271 \|^128 0x[0-9a-f]* 0x[0-9a-f]* 0x0 ' "/proc/$1/syscall" || return 0
    done
    echo "$1 does not come to rest"
}

# How often a process has gone to sleep so far.
sleeps() {
    awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$1/status"
}

# Seconds since the machine was started.
seconds() {
    cut -d ' ' -f 1 /proc/uptime
}

# Shows what comes from descriptor 3, up to the line that matches a pattern, or as much as there is.
show_until() {
    # shellcheck disable=SC3045 # busybox has it
    while read -r -t 20 line <&3; do
        echo "$line"
        # shellcheck disable=SC2254 # it is a pattern
        case $line in $1) return ;; esac
    done
    echo "nothing came like $1"
}

# with_cache SIZE: has so much page cache charged to the cgroup of this shell. The disk's is kept for
# as long as somebody has it open.
with_cache() {
    exec 3</dev/nvme0n1
    echo 1 >/proc/sys/vm/drop_caches
    head -c "$1" <&3 >/dev/null
}
