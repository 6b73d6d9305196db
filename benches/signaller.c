/* Sends signals to inits and reports what happens to them. Each init is PID 1 of its own PID namespace, and
 * dies with this process. COMMANDS are separated by `::`; every round runs them in a new random order.
 *
 * signaller latency ROUNDS COMMANDS: starts all of them; the program of each must be `signaller receive`.
 * Prints a line for each round, with the nanoseconds from just before SIGUSR1 is sent to the init until the
 * program has it, in the order of the arguments; -1 if it did not arrive.
 *
 * signaller window STARTS COMMANDS: starts each command STARTS times and sends SIGTERM after a delay, which
 * grows from 0 to 2 ms after the init has blocked the signal. Prints for each start the index of the command,
 * the delay in microseconds, and the exit code or `lost`.
 *
 * signaller receive: writes the time at which SIGUSR1 arrives, as a binary int64_t. */

#define _GNU_SOURCE
#include "turns.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TIMEOUT_MS = 5000,
    LIFETIME_SECONDS = 300,
    WINDOW_NS = 2000000,
    /* A command that hung so often is not tried again. */
    MOST_HANGS = 3,
    LOST = -1,
    HANGS = -2,
    /* How often to check whether an init that has not exited still can. */
    CHECK_MS = 50,
    /* The exit code if the kernel permits no PID namespace. */
    UNAVAILABLE = 2,
};

static void fail(const char *what)
{
    fprintf(stderr, "signaller: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The start of a file in /proc/PID; empty if the process is gone. */
static const char *proc_file(pid_t pid, const char *file)
{
    static char text[8192];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    int opened = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = opened == -1 ? 0 : read(opened, text, sizeof text - 1);
    if (opened != -1)
        close(opened);
    text[length > 0 ? length : 0] = 0;
    return text;
}

static const char *field(pid_t pid, const char *name)
{
    const char *found = strstr(proc_file(pid, "status"), name);
    return found ? found + strlen(name) : "";
}

static int in_set(pid_t pid, const char *name, int signal)
{
    return strtoull(field(pid, name), NULL, 16) >> (signal - 1) & 1;
}

static pid_t child_of(pid_t pid)
{
    char file[64];
    snprintf(file, sizeof file, "task/%d/children", pid);
    return atoi(proc_file(pid, file));
}

/* Whether a process sleeps and no SIGTERM is pending. */
static int is_idle(pid_t pid)
{
    return *field(pid, "\nState:\t") == 'S' && !in_set(pid, "\nSigPnd:\t", SIGTERM)
           && !in_set(pid, "\nShdPnd:\t", SIGTERM);
}

/* Whether the signal is lost: the init and its program are idle. */
static int lost(pid_t init)
{
    pid_t program = child_of(init);
    char name[64];
    snprintf(name, sizeof name, "%s", proc_file(init, "comm"));
    /* Before its exec the program has the name of the init, and may still receive the signal. */
    return program && is_idle(init) && is_idle(program) && strcmp(proc_file(program, "comm"), name);
}

static pid_t start(char **command, int output)
{
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == -1) {
        if (errno == EPERM)
            exit(UNAVAILABLE);
        fail("clone");
    }
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(null, 0);
        dup2(output == -1 ? null : output, 1);
        dup2(null, 2);
        execv(command[0], command);
        _exit(127);
    }
    return pid;
}

static void end(pid_t init)
{
    kill(init, SIGKILL);
    waitpid(init, NULL, 0);
}

/* Reads a time that a program sent. */
static int64_t received(int pipe)
{
    int64_t time;
    struct pollfd wait = {.fd = pipe, .events = POLLIN};
    if (poll(&wait, 1, TIMEOUT_MS) != 1 || read(pipe, &time, sizeof time) != sizeof time)
        return LOST;
    return time;
}

static void receive(void)
{
    sigset_t one;
    int64_t time = 0;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    sigprocmask(SIG_BLOCK, &one, NULL);
    while (write(1, &time, sizeof time) == sizeof time) {
        if (sigwaitinfo(&one, NULL) == -1)
            break;
        time = now();
    }
    _exit(1);
}

/* Pins this process, the inits and their programs to the current CPU. On several CPUs, chance decides for a
 * whole run which process has to wake another's CPU. */
static void pin_to_cpu(void)
{
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET((size_t)sched_getcpu(), &here);
    if (sched_setaffinity(0, sizeof here, &here) == -1)
        fail("sched_setaffinity");
}

static void latency(long rounds, const struct commands *commands)
{
    pin_to_cpu();
    size_t size = commands->size;
    pid_t inits[MOST];
    int pipes[MOST], hangs[MOST] = {0};
    for (size_t i = 0; i < size; i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) == -1)
            fail("pipe");
        inits[i] = start(commands->words[i], ends[1]);
        close(ends[1]);
        pipes[i] = ends[0];
        if (received(ends[0]) != 0)
            fail(commands->words[i][0]);
    }
    for (long round = 0; round < rounds; round++) {
        int64_t times[MOST];
        const size_t *order = random_order(size);
        for (size_t turn = 0; turn < size; turn++) {
            size_t i = order[turn];
            times[i] = LOST;
            if (hangs[i] == MOST_HANGS)
                continue;
            int64_t sent = now();
            kill(inits[i], SIGUSR1);
            int64_t arrived = received(pipes[i]);
            if (arrived == LOST)
                hangs[i]++;
            else
                times[i] = arrived - sent;
        }
        for (size_t i = 0; i < size; i++)
            printf("%lld%c", (long long)times[i], i + 1 < size ? ' ' : '\n');
    }
    for (size_t i = 0; i < size; i++)
        end(inits[i]);
}

/* The exit code, or LOST or HANGS. */
static int outcome(pid_t init)
{
    int pidfd = (int)syscall(SYS_pidfd_open, init, 0), idle_checks = 0, status;
    if (pidfd == -1)
        fail("pidfd_open");
    struct pollfd wait = {.fd = pidfd, .events = POLLIN};
    int64_t deadline = now() + TIMEOUT_MS * INT64_C(1000000);
    while (poll(&wait, 1, CHECK_MS) == 0) {
        /* Checked twice, as the processes may have been between two system calls. */
        idle_checks = lost(init) ? idle_checks + 1 : 0;
        int late = now() > deadline;
        if (idle_checks == 2 || late) {
            close(pidfd);
            end(init);
            return late ? HANGS : LOST;
        }
    }
    close(pidfd);
    waitpid(init, &status, 0);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Starts an init, and sends SIGTERM `delay` nanoseconds after it has blocked the signal. */
static int try_once(char **command, int64_t delay)
{
    pid_t init = start(command, -1);
    /* A signal that is lost before that is not the fault of the init. During sigtimedwait(2) the kernel shows
     * the signals as not blocked; by then there is a child. */
    int64_t deadline = now() + TIMEOUT_MS * INT64_C(1000000);
    while (!in_set(init, "\nSigBlk:\t", SIGTERM) && !child_of(init))
        if (now() > deadline)
            fail(command[0]);
    int64_t blocked = now();
    while (now() - blocked < delay)
        ;
    kill(init, SIGTERM);
    return outcome(init);
}

static void window(long starts, const struct commands *commands)
{
    int hangs[MOST] = {0};
    for (long number = 0; number < starts; number++) {
        int64_t delay = starts > 1 ? WINDOW_NS * number / (starts - 1) : 0;
        const size_t *order = random_order(commands->size);
        for (size_t turn = 0; turn < commands->size; turn++) {
            size_t i = order[turn];
            int code = hangs[i] == MOST_HANGS ? HANGS : try_once(commands->words[i], delay);
            hangs[i] += code == HANGS && hangs[i] < MOST_HANGS;
            printf("%zu %lld ", i, (long long)delay / 1000);
            printf(code < 0 ? "lost\n" : "%d\n", code);
        }
    }
}

int main(int count, char **arguments)
{
    alarm(LIFETIME_SECONDS);
    if (count == 2 && !strcmp(arguments[1], "receive"))
        receive();
    if (count < 4)
        return 1;
    struct commands commands = commands_in(arguments + 3);
    if (!strcmp(arguments[1], "latency"))
        latency(atol(arguments[2]), &commands);
    else if (!strcmp(arguments[1], "window"))
        window(atol(arguments[2]), &commands);
    else
        return 1;
    return 0;
}
