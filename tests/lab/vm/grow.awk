# Takes MEBIBYTES of memory step by step, or for as long as it lives, and says at each step how many
# they are and how long the machine has been up. Then it runs the command THEN, if there is one.
BEGIN {
    mebibyte = sprintf("%1048576s", "")
    while (MEBIBYTES == "" || taken < MEBIBYTES) {
        held[taken++] = mebibyte taken
        getline uptime < "/proc/uptime"
        close("/proc/uptime")
        print taken, uptime + 0
        fflush()
    }
    if (THEN)
        exit system(THEN)
}
