# Takes MEBIBYTES of memory step by step, or for as long as it lives: 48 at first and then slowly, and
# says at each step how many they are and how long the machine has been up. Then it runs the command
# THEN, if there is one.
BEGIN {
    step = 1
    while (MEBIBYTES == "" || taken < MEBIBYTES) {
        if (taken == 48)
            step = 0.125
        held[taken] = sprintf("%" step * 1048576 "s", "")
        taken += step
        getline uptime < "/proc/uptime"
        close("/proc/uptime")
        print taken, uptime + 0
        fflush()
    }
    if (THEN)
        exit system(THEN)
}
