/* The minimum that an init does at its start, as a lower bound for comparison: it blocks signals, starts the
 * program with vfork, waits for it, and exits with its code. It forwards no signals and reaps no orphans,
 * so it is not an init.
 *
 * With -DREADING it first reads the limits of its cgroup as cheaply as possible: the files of memory and CPU
 * that loadline reads, at the usual mount points, and sets GOMEMLIMIT and GOMAXPROCS by the same rules. It
 * does not look up the mounts, does not read the program, and has no options.
 *
 * With -DREADING and -DEXEC it does not stay, but execs the program. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef READING

enum { VARIABLES = 256 };

static const uint64_t NONE = UINT64_MAX;

static char text[8192];
static char memory_limit[40] = "GOMEMLIMIT=", max_procs[40] = "GOMAXPROCS=";
static char *variables[VARIABLES + 3];

/* The contents of a file, or NULL. */
static const char *contents(const char *path)
{
    int file = open(path, O_RDONLY);
    if (file == -1)
        return NULL;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length < 0)
        return NULL;
    text[length] = 0;
    return text;
}

/* A number; NONE for `max`, for -1, and if there is no number. */
static uint64_t number(const char *digits)
{
    if (!digits || *digits < '0' || *digits > '9')
        return NONE;
    uint64_t value = 0;
    while (*digits >= '0' && *digits <= '9')
        value = value * 10 + (uint64_t)(*digits++ - '0');
    return value;
}

static uint64_t number_in(char *directory, const char *file)
{
    size_t length = strlen(directory);
    strcpy(directory + length, file);
    uint64_t value = number(contents(directory));
    directory[length] = 0;
    return value;
}

static void append(char *variable, uint64_t value)
{
    char digits[24], *first = digits + sizeof digits;
    *--first = 0;
    do
        *--first = (char)('0' + value % 10);
    while (value /= 10);
    strcat(variable, first);
}

/* Makes `directory` its parent; 0 if that would be shorter than `root` bytes. */
static int to_parent(char *directory, size_t root)
{
    char *slash = strrchr(directory, '/');
    if ((size_t)(slash - directory) < root)
        return 0;
    *slash = 0;
    return 1;
}

/* The directory of our cgroup in a hierarchy, whose line in /proc/self/cgroup contains `controller`. */
static int cgroup_directory(const char *list, const char *controller, const char *mount, char *directory)
{
    const char *line = strstr(list, controller);
    if (!line)
        return 0;
    const char *path = line + strlen(controller), *end = strchr(path, '\n');
    size_t length = end ? (size_t)(end - path) : strlen(path);
    if (length > 3000)
        return 0;
    size_t root = strlen(mount);
    memcpy(directory, mount, root);
    memcpy(directory + root, path, length);
    directory[root + length] = 0;
    if (length == 1)
        directory[root] = 0;
    return 1;
}

static uint64_t lower(uint64_t a, uint64_t b) { return a < b ? a : b; }

static char **with_limits(char **environment)
{
    static char memory[4096], cpu[4096];
    size_t count = 0;
    while (environment[count] && count < VARIABLES)
        count++;
    memcpy(variables, environment, count * sizeof *variables);

    struct sysinfo machine;
    cpu_set_t allowed;
    uint64_t total = sysinfo(&machine) == -1 ? NONE : machine.totalram * machine.mem_unit;
    unsigned cpus = sched_getaffinity(0, sizeof allowed, &allowed) == -1 ? 0 : (unsigned)CPU_COUNT(&allowed);
    const char *list = contents("/proc/self/cgroup");
    if (!list)
        return variables;
    const char *v1_memory = "/sys/fs/cgroup/memory", *v1_cpu = "/sys/fs/cgroup/cpu", *v2 = "/sys/fs/cgroup";
    int memory_v1 = cgroup_directory(list, ":memory:", v1_memory, memory);
    int cpu_v1 = cgroup_directory(list, ":cpu:", v1_cpu, cpu) || cgroup_directory(list, ":cpu,cpuacct:", v1_cpu, cpu);
    if (!memory_v1 && !cgroup_directory(list, "0::", v2, memory))
        return variables;
    if (!cpu_v1 && !cgroup_directory(list, "0::", v2, cpu))
        return variables;

    uint64_t limit = NONE;
    if (memory_v1) {
        limit = number_in(memory, "/memory.limit_in_bytes");
        strcat(memory, "/memory.stat");
        const char *stat = contents(memory), *name = "\nhierarchical_memory_limit ";
        const char *found = stat ? strstr(stat, name) : NULL;
        if (found)
            limit = lower(limit, number(found + strlen(name)));
    } else {
        do {
            limit = lower(limit, number_in(memory, "/memory.max"));
            limit = lower(limit, number_in(memory, "/memory.high"));
        } while (to_parent(memory, strlen(v2)));
    }
    if (limit <= total) {
        append(memory_limit, limit / 5 * 4 + limit % 5 * 4 / 5);
        variables[count++] = memory_limit;
    }

    uint64_t threads = NONE;
    do {
        uint64_t quota, period = NONE;
        if (cpu_v1) {
            quota = number_in(cpu, "/cpu.cfs_quota_us");
            if (quota != NONE)
                period = number_in(cpu, "/cpu.cfs_period_us");
        } else {
            quota = number_in(cpu, "/cpu.max");
            const char *space = quota == NONE ? NULL : strchr(text, ' ');
            period = number(space ? space + 1 : NULL);
        }
        if (quota != NONE && period != NONE && period)
            threads = lower(threads, (quota + period - 1) / period);
    } while (to_parent(cpu, strlen(cpu_v1 ? v1_cpu : v2)));
    if (threads < cpus) {
        append(max_procs, threads ? threads : 1);
        variables[count++] = max_procs;
    }
    variables[count] = NULL;
    return variables;
}

#endif

int main(int count, char **arguments)
{
    sigset_t all, inherited;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &inherited);
    int first = 1 + (count > 1 && !strcmp(arguments[1], "--"));
    if (!arguments[first])
        return 1;
#ifdef READING
    environ = with_limits(environ);
#endif
#ifdef EXEC
    sigprocmask(SIG_SETMASK, &inherited, NULL);
    execv(arguments[first], arguments + first);
    return errno == ENOENT ? 127 : 126;
#else
    pid_t child = vfork();
    if (child == 0) {
        sigprocmask(SIG_SETMASK, &inherited, NULL);
        execv(arguments[first], arguments + first);
        _exit(errno == ENOENT ? 127 : 126);
    }
    int status;
    if (child == -1 || waitpid(child, &status, 0) == -1)
        return 1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
#endif
}
