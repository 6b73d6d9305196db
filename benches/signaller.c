/* Sends signals to inits and sees what becomes of them. Each init is PID 1 of a PID namespace of its
 * own, and dies with this process. COMMANDS are separated by `::`; every round takes them in an order
 * drawn anew.
 *
 * signaller latency ROUNDS COMMANDS: starts all of them; each has to have `signaller receive` as its
 * program. Says a line a round, with the nanoseconds from just before SIGUSR1 was sent to the init
 * until the program had it, in the order of the arguments; -1 where it did not come.
 *
 * signaller window STARTS COMMANDS: starts each so often, and sends SIGTERM later from time to time,
 * from when the init has blocked it to 2 ms after that. Says for each start the number of the command, the
 * delay in microseconds, and the exit code or `lost`.
 *
 * signaller receive: says when SIGUSR1 arrives, in the clock's own bytes. */

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
    PATIENCE_MS = 5000,
    LIFETIME_SECONDS = 300,
    WINDOW_NS = 2000000,
    /* After that long without an end it is looked at whether there can be one. */
    LOOK_MS = 50,
    /* The exit code where the kernel lets us make no namespace. */
    CANNOT = 2,
};

static void fail(const char *what)
{
    fprintf(stderr, "signaller: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* A file of a process, as far as it fits; empty once the process has gone. */
static const char *of(pid_t pid, const char *file)
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
    const char *found = strstr(of(pid, "status"), name);
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
    return atoi(of(pid, file));
}

/* Sleeps, with no SIGTERM that would wake it. */
static int rests(pid_t pid)
{
    return *field(pid, "\nState:\t") == 'S' && !in_set(pid, "\nSigPnd:\t", SIGTERM)
           && !in_set(pid, "\nShdPnd:\t", SIGTERM);
}

/* Whether nobody has the signal any more: the init rests, and so does its program. */
static int lost(pid_t init)
{
    pid_t program = child_of(init);
    char name[64];
    snprintf(name, sizeof name, "%s", of(init, "comm"));
    /* Before its exec the program has the name of the init. */
    return program && rests(init) && rests(program) && strcmp(of(program, "comm"), name);
}

static pid_t start(char **command, int output)
{
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == -1) {
        if (errno == EPERM)
            exit(CANNOT);
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

/* Reads one time from a program; -1 where it does not come. */
static int64_t received(int pipe)
{
    int64_t time;
    struct pollfd wait = {.fd = pipe, .events = POLLIN};
    if (poll(&wait, 1, PATIENCE_MS) != 1 || read(pipe, &time, sizeof time) != sizeof time)
        return -1;
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

static void latency(long rounds, const struct commands *commands)
{
    size_t size = commands->size;
    pid_t inits[MOST];
    int pipes[MOST];
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
        const size_t *order = drawn_order(size);
        for (size_t turn = 0; turn < size; turn++) {
            size_t i = order[turn];
            int64_t sent = now();
            kill(inits[i], SIGUSR1);
            int64_t arrived = received(pipes[i]);
            times[i] = arrived == -1 ? -1 : arrived - sent;
        }
        for (size_t i = 0; i < size; i++)
            printf("%lld%c", (long long)times[i], i + 1 < size ? ' ' : '\n');
    }
    for (size_t i = 0; i < size; i++)
        end(inits[i]);
}

/* The exit code; -1 where the signal was lost. */
static int outcome(pid_t init)
{
    int pidfd = (int)syscall(SYS_pidfd_open, init, 0), resting = 0, status;
    if (pidfd == -1)
        fail("pidfd_open");
    struct pollfd wait = {.fd = pidfd, .events = POLLIN};
    int64_t patience = now() + PATIENCE_MS * INT64_C(1000000);
    while (poll(&wait, 1, LOOK_MS) == 0) {
        /* Twice, as between two looks anything may have gone on. */
        resting = lost(init) ? resting + 1 : 0;
        if (resting == 2 || now() > patience) {
            close(pidfd);
            end(init);
            return -1;
        }
    }
    close(pidfd);
    waitpid(init, &status, 0);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void window(long starts, const struct commands *commands)
{
    for (long number = 0; number < starts; number++) {
        int64_t delay = starts > 1 ? WINDOW_NS * number / (starts - 1) : 0;
        const size_t *order = drawn_order(commands->size);
        for (size_t turn = 0; turn < commands->size; turn++) {
            size_t i = order[turn];
            pid_t init = start(commands->words[i], -1);
            /* Before the init has blocked its signals a loss is not its doing. While it waits for
             * them the kernel shows them as not blocked: then we came late, and there is a child. */
            int64_t patience = now() + PATIENCE_MS * INT64_C(1000000);
            while (!in_set(init, "\nSigBlk:\t", SIGTERM) && !child_of(init))
                if (now() > patience)
                    fail(commands->words[i][0]);
            int64_t blocked = now();
            while (now() - blocked < delay)
                ;
            kill(init, SIGTERM);
            int code = outcome(init);
            printf("%zu %lld ", i, (long long)delay / 1000);
            printf(code == -1 ? "lost\n" : "%d\n", code);
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
