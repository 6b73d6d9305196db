/* inject [-1] [-m] [-c] [-l] [-r] [-t MILLISECONDS] [-i WHO:CALL:NTH:ERROR] [-d CALL:ERROR] RESULTS COMMAND...
 *
 * Runs a command in a PID namespace of its own, and makes system calls fail. -1 makes it PID 1 there.
 * -m mounts a /proc of that namespace, -c ignores SIGCHLD, and -l leaves arguments and environment
 * the least room that the kernel grants. -i fails one call: the NTH one of the command (WHO is p) or of its
 * child up to its exec (WHO is c). -d fails all of them with a seccomp filter, as container runtimes do.
 * -r prints the calls instead. What happened goes to the descriptor RESULTS, in lines: "call WHO CALL", "hit", and
 * last "exit CODE", "signal NUMBER" or "timeout".
 *
 * strace can inject faults too, but counts the calls of every process from 1: it cannot fail the first
 * call of the child alone. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "a system call is skipped, and its result set, in a way that every architecture has for itself"
#endif

enum { CALLS = 1024 };

struct tracee {
    char who;
    unsigned count[CALLS];
    /* The error to return when the call that was skipped is left. */
    int error;
};

static struct { char who; unsigned call, nth; int error; } fault;
static struct { unsigned call; int error; } denied;
static int is_recording;
static int results;

/* PID 1 of the namespace. Its death ends every other process there. */
static pid_t init;
static volatile sig_atomic_t timed_out;

static void fail(const char *what)
{
    dprintf(results, "failed %s: %s\n", what, strerror(errno));
    if (init)
        kill(init, SIGKILL);
    exit(2);
}

static void on_alarm(int signal)
{
    (void)signal;
    timed_out = 1;
    kill(init, SIGKILL);
}

static void deny(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, denied.call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | denied.error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof code / sizeof *code, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
        fail("seccomp");
}

static void mount_proc(void)
{
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("proc", "/proc", "proc", 0, NULL))
        fail("mount");
}

/* The system calls of one tracee: counts them, and fails the one that is asked for. Returns whether that
 * has happened. */
static int on_system_call(pid_t pid, struct tracee *tracee)
{
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) == -1)
        return 0;
    if (info.op == PTRACE_SYSCALL_INFO_EXIT && tracee->error) {
        ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rax), (long)-tracee->error);
        dprintf(results, "hit\n");
        return 1;
    }
    if (info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr >= CALLS)
        return 0;
    unsigned nth = ++tracee->count[info.entry.nr];
    if (is_recording)
        dprintf(results, "call %c %u\n", tracee->who, (unsigned)info.entry.nr);
    if (tracee->who == fault.who && info.entry.nr == fault.call && nth == fault.nth) {
        /* There is no such call, so it does nothing. */
        ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.orig_rax), -1L);
        tracee->error = fault.error;
    }
    return 0;
}

/* Follows the command and its child. Both run freely after the fault, and the child after its exec. */
static void trace(pid_t command)
{
    struct tracee parent = {.who = 'p'}, child = {.who = 'c'};
    int is_started = 0, is_hit = 0;
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid == -1 && errno == EINTR)
            continue;
        if (pid == -1)
            return;
        if (!WIFSTOPPED(status)) {
            if (pid != command)
                continue;
            if (timed_out)
                dprintf(results, "timeout\n");
            else if (WIFEXITED(status))
                dprintf(results, "exit %d\n", WEXITSTATUS(status));
            else
                dprintf(results, "signal %d\n", WTERMSIG(status));
            return;
        }
        int signal = WSTOPSIG(status), event = status >> 16, is_child = pid != command;
        if (signal == (SIGTRAP | 0x80)) {
            is_hit = on_system_call(pid, is_child ? &child : &parent) || is_hit;
            signal = 0;
        } else if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
            ptrace(PTRACE_LISTEN, pid, 0, 0);
            continue;
        } else if (event) {
            signal = 0;
        }
        int is_program = event == PTRACE_EVENT_EXEC && (is_child || is_started);
        is_started |= event == PTRACE_EVENT_EXEC;
        ptrace(is_hit || is_program ? PTRACE_DETACH : PTRACE_SYSCALL, pid, 0, signal);
    }
}

int main(int count, char **arguments)
{
    int is_pid_1 = 0, mounts = 0, ignores_sigchld = 0, limits_room = 0, option;
    long milliseconds = 5000;
    while ((option = getopt(count, arguments, "+1mclrt:i:d:")) != -1) {
        switch (option) {
        case '1': is_pid_1 = 1; break;
        case 'm': mounts = 1; break;
        case 'c': ignores_sigchld = 1; break;
        case 'l': limits_room = 1; break;
        case 'r': is_recording = 1; break;
        case 't': milliseconds = atol(optarg); break;
        case 'i':
            if (sscanf(optarg, "%c:%u:%u:%d", &fault.who, &fault.call, &fault.nth, &fault.error) != 4)
                fail(optarg);
            break;
        case 'd':
            if (sscanf(optarg, "%u:%d", &denied.call, &denied.error) != 2)
                fail(optarg);
            break;
        default: return 2;
        }
    }
    if (count < optind + 2)
        return 2;
    results = atoi(arguments[optind++]);
    int go[2];
    if (fcntl(results, F_SETFD, FD_CLOEXEC) || pipe2(go, O_CLOEXEC) || unshare(CLONE_NEWPID))
        fail("start");
    if (!is_pid_1 && (init = fork()) == 0) {
        /* It keeps no pipe open. */
        for (int file = 0; file <= go[1]; file++)
            close(file);
        for (;;)
            pause();
    }
    pid_t command = fork();
    if (command == 0) {
        char byte;
        close(go[1]);
        if (mounts)
            mount_proc();
        if (read(go[0], &byte, 1) != 1)
            fail("read");
        if (ignores_sigchld)
            signal(SIGCHLD, SIG_IGN);
        /* A quarter of the stack is theirs (execve(2)). */
        if (limits_room && setrlimit(RLIMIT_STACK, &(struct rlimit){4 * ARG_MAX, RLIM_INFINITY}))
            fail("setrlimit");
        if (denied.error)
            deny();
        execvp(arguments[optind], arguments + optind);
        fail(arguments[optind]);
    }
    if (is_pid_1)
        init = command;
    if (init == -1 || command == -1)
        fail("fork");
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {milliseconds / 1000, milliseconds % 1000 * 1000}}, NULL);
    if ((is_recording || fault.error) &&
        ptrace(PTRACE_SEIZE, command, 0,
               PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                   PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL))
        fail("ptrace");
    if (write(go[1], "", 1) != 1)
        fail("write");
    trace(command);
    kill(init, SIGKILL);
    while (wait(NULL) != -1 || errno == EINTR)
        ;
    return 0;
}
