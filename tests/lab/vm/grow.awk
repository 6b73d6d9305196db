# Takes MEBIBYTES of memory, or more and more, in smaller steps near the end. It says at each step how
# many they are and how long the machine has been up. Then it runs the command THEN, if there is one.
#
# It reads STAT, as whoever watches a container does: before Linux 6.8 one who reads it while another
# process brings it up to date, as reclaim does, is given old numbers, and it is out of date for less
# time the less there is to be done.
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
