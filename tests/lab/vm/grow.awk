# Allocates MEBIBYTES of memory, or more and more without end, in smaller steps near the limit. At each
# step it prints the total and the uptime of the machine. Then it runs the command THEN, if it is set.
#
# At each step it also reads STAT, which is memory.stat. Before Linux 6.8, a reader gets old numbers while
# another process, such as reclaim, flushes them. Frequent reads keep the flushes short.
BEGIN {
    while (MEBIBYTES == "" || taken < MEBIBYTES) {
        step = taken < 48 ? 1 : 0.125
        held[taken] = sprintf("%" step * 1048576 "s", "")
        taken += step
        getline line < STAT
        close(STAT)
        getline uptime < "/proc/uptime"
        close("/proc/uptime")
        print taken, uptime + 0
        fflush()
    }
    if (THEN)
        exit system(THEN)
}
