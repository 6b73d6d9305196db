/* The program that the tests run under the init. It prints on stdout, line by line, what it has inherited
 * and the signals that it gets. It is linked statically, so that it runs in an empty image.
 *
 * Signal sets have the kernel's format and go to raw system calls, because the C library hides the
 * realtime signals that it reserves. */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A probe ends after this time at the latest, even if its test has failed to kill it. */
enum { LIFETIME_SECONDS = 100 };

enum { SIGNALS = 64, TIMED_OUT = 99 };

typedef uint64_t set;

static set only(int signal) { return (set)1 << (signal - 1); }

static const set ALL = ~(set)0;

static void fail(const char *what)
{
    dprintf(1, "probe: %s: %s\n", what, strerror(errno));
    _exit(98);
}

static set mask(int how, const set *new)
{
    set old = 0;
    if (syscall(SYS_rt_sigprocmask, how, new, &old, sizeof old) == -1)
        fail("rt_sigprocmask");
    return old;
}

/* Waits for one of `signals`, which are blocked. */
static siginfo_t next(set signals)
{
    struct timespec lifetime = {.tv_sec = LIFETIME_SECONDS};
    siginfo_t info;
    long number;
    do
        number = syscall(SYS_rt_sigtimedwait, &signals, &info, &lifetime, sizeof signals);
    while (number == -1 && errno == EINTR);
    if (number == -1)
        _exit(TIMED_OUT);
    return info;
}

static void print_signal(const char *who, const siginfo_t *info)
{
    /* Only signals of sigqueue(3) have a value. */
    if (info->si_code == SI_QUEUE)
        dprintf(1, "%s %d value %d\n", who, info->si_signo, info->si_value.sival_int);
    else
        dprintf(1, "%s %d\n", who, info->si_signo);
}

/* Prints each signal that arrives. Exits with 0 after `last`. */
static void report(const char *who, int last)
{
    for (;;) {
        siginfo_t info = next(ALL);
        print_signal(who, &info);
        if (info.si_signo == last)
            _exit(0);
    }
}

static pid_t start(void)
{
    pid_t pid = fork();
    if (pid == -1)
        fail("fork");
    return pid;
}

static void block_all(void)
{
    alarm(0);
    mask(SIG_SETMASK, &ALL);
}

static void become(char **arguments)
{
    execvp(arguments[0], arguments);
    fail(arguments[0]);
}

/* Runs a program as a child, and waits until a signal ends this process. With `pid_1` the child is PID 1
 * of a new PID namespace. */
static void parent(int pid_1, char **arguments)
{
    if (pid_1 && unshare(CLONE_NEWPID) == -1)
        fail("unshare");
    pid_t child = start();
    if (child == 0)
        become(arguments);
    dprintf(1, "child %d\n", child);
    pause();
}

static char **child_of_thread;

static void *start_child(void *go_on)
{
    pid_t child = start();
    if (child == 0) {
        set none = 0;
        mask(SIG_SETMASK, &none);
        become(child_of_thread);
    }
    dprintf(1, "child %d\n", child);
    next(only(SIGUSR2));
    return go_on;
}

/* The same, but a thread starts the child and ends at SIGUSR2. */
static void parent_with_thread(char **arguments)
{
    pthread_t thread;
    set usr2 = only(SIGUSR2);
    mask(SIG_BLOCK, &usr2);
    child_of_thread = arguments;
    if ((errno = pthread_create(&thread, NULL, start_child, NULL)) != 0)
        fail("pthread_create");
    pthread_join(thread, NULL);
    /* The kernel is done with a thread when it is not listed any more: two links and this thread. */
    struct stat threads;
    do
        if (stat("/proc/self/task", &threads) == -1)
            fail("/proc/self/task");
    while (threads.st_nlink > 3);
    dprintf(1, "thread gone\n");
    pause();
}

/* Adds a child to the process group, which prints its signals too, and dies with the program. */
static void group(int last)
{
    block_all();
    pid_t child = start();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dprintf(1, "grandchild ready\n");
        report("grandchild", 0);
    }
    dprintf(1, "ready\n");
    report("signal", last);
}

/* Prints each signal, and exits with `last` after SIGTERM. After SIGUSR2 starts its successor, which
 * does the same, and exits with `code`, as in a graceful restart. */
static void succeed(int code, int last, int own_group)
{
    const char *who = "signal";
    block_all();
    dprintf(1, "ready\n");
    for (;;) {
        siginfo_t info = next(ALL);
        print_signal(who, &info);
        if (info.si_signo == SIGTERM)
            _exit(last);
        if (info.si_signo != SIGUSR2)
            continue;
        if (start() != 0)
            _exit(code);
        if (own_group)
            setpgid(0, 0);
        who = "successor";
        dprintf(1, "successor ready\n");
    }
}

/* Creates `count` orphans, lets all of them exit at the same time, and goes on. */
static void orphans(int count)
{
    int gate[2];
    if (pipe(gate) == -1)
        fail("pipe");
    for (int i = 0; i < count; i++) {
        pid_t middle = start();
        if (middle == 0) {
            if (start() == 0) {
                char byte;
                close(gate[1]);
                _exit((int)read(gate[0], &byte, 1));
            }
            _exit(0);
        }
        waitpid(middle, NULL, 0);
    }
    /* Not earlier, or the SIGCHLD of the middle processes would be reported. */
    block_all();
    dprintf(1, "ready\n");
    siginfo_t go = next(only(SIGUSR1) | only(SIGTERM));
    print_signal("signal", &go);
    close(gate[1]);
    report("signal", SIGTERM);
}

/* The behaviour of a daemon. */
static void live(const char *how, int number)
{
    if (!strcmp(how, "stubborn"))
        report("daemon", 0);
    if (!strcmp(how, "slow")) {
        siginfo_t received = next(only(SIGTERM));
        print_signal("daemon", &received);
        usleep(number);
        dprintf(1, "daemon gone\n");
        _exit(0);
    }
    if (!strcmp(how, "brief")) {
        usleep(number);
        _exit(0);
    }
    set none = 0;
    mask(SIG_SETMASK, &none);
    alarm(LIFETIME_SECONDS);
    if (!strcmp(how, "stopped"))
        raise(SIGSTOP);
    pause();
}

/* Starts a daemon in the traditional way: two forks and a new session. It holds stdout. */
static void daemonise(int code, const char *how, int number)
{
    int ready[2];
    char byte;
    if (pipe(ready) == -1)
        fail("pipe");
    if (start() == 0) {
        setsid();
        block_all();
        pid_t daemon = start();
        if (daemon == 0) {
            /* Both must exist before the program exits. */
            int has_child = !strcmp(how, "parent");
            if (has_child && start() == 0)
                daemon = getpid();
            else
                dprintf(1, "daemon %d\n", getpid());
            close(ready[0]);
            close(ready[1]);
            if (daemon != 0)
                report("child", SIGTERM);
            live(how, number);
        }
        if (!strcmp(how, "stopped"))
            waitpid(daemon, NULL, WUNTRACED);
        _exit(0);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) == -1)
        fail("read");
    _exit(code);
}

/* The kernel's structure is not the C library's, which refuses signals 32 and 33. */
struct action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    set mask;
};

static set ignored(void)
{
    set found = 0;
    for (int signal = 1; signal <= SIGNALS; signal++) {
        struct action action;
        if (syscall(SYS_rt_sigaction, signal, NULL, &action, sizeof(set)) == -1)
            fail("rt_sigaction");
        if (action.handler == SIG_IGN)
            found |= only(signal);
    }
    return found;
}

static void state(void)
{
    dprintf(1, "pid %d\nparent %d\ngroup %d\nsession %d\nforeground %d\n", getpid(), getppid(),
            getpgrp(), getsid(0), tcgetpgrp(0));
    dprintf(1, "blocked %016llx\nignored %016llx\n", (unsigned long long)mask(SIG_BLOCK, NULL),
            (unsigned long long)ignored());
}

static void descriptors(void)
{
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) != -1)
            dprintf(1, "%d\n", fd);
}

static void print_continued(int signal)
{
    (void)signal;
    dprintf(1, "continued\n");
}

/* A job that a shell stops and continues. It prints when it is continued; any other signal ends it. */
static void job(int stop_yourself)
{
    signal(SIGCONT, print_continued);
    dprintf(1, "running\n");
    if (stop_yourself)
        raise(SIGSTOP);
    for (;;)
        pause();
}

static void die(int number)
{
    set one = only(number);
    struct action action = {.handler = SIG_DFL};
    if (number != SIGKILL && number != SIGSTOP)
        syscall(SYS_rt_sigaction, number, &action, NULL, sizeof(set));
    kill(getpid(), number);
    mask(SIG_UNBLOCK, &one);
    pause();
}

/* Runs a program with a seccomp filter that makes a system call fail. */
static void refuse(unsigned number, unsigned error, char **program)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof code / sizeof *code, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
        fail("seccomp");
    execv(program[0], program);
    fail(program[0]);
}

/* Becomes another program after it has spent this many seconds of CPU time, which count for that program. */
static void spend(int seconds, char **program)
{
    while (clock() / CLOCKS_PER_SEC < seconds)
        ;
    alarm(0);
    become(program);
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";
    int number = count > 2 ? atoi(arguments[2]) : 0;
    alarm(LIFETIME_SECONDS);

    if (!strcmp(what, "exit"))
        return number;
    if (!strcmp(what, "die"))
        die(number);
    if (!strcmp(what, "pause")) {
        dprintf(1, "ready\n");
        for (;;)
            pause();
    }
    if (!strcmp(what, "report")) {
        block_all();
        dprintf(1, "ready\n");
        report("signal", SIGTERM);
    }
    if (!strcmp(what, "hold")) {
        /* Takes no other signal before SIGTERM, and exits at SIGUSR1. */
        block_all();
        dprintf(1, "ready\n");
        siginfo_t first = next(only(SIGTERM));
        print_signal("signal", &first);
        report("signal", SIGUSR1);
    }
    if (!strcmp(what, "linger")) {
        /* Exits this many microseconds after SIGTERM. */
        block_all();
        dprintf(1, "ready\n");
        next(only(SIGTERM));
        usleep(number);
        return 7;
    }
    if (!strcmp(what, "other-user")) {
        /* May be signalled by that user and with CAP_KILL only. */
        if (setuid(number) == -1)
            fail("setuid");
        dprintf(1, "ready\n");
        for (;;)
            pause();
    }
    if (!strcmp(what, "deserter")) {
        /* Moves to the process group of its child. */
        block_all();
        pid_t child = start();
        setpgid(child, child);
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            next(only(SIGTERM));
        }
        if (setpgid(0, child) == -1)
            fail("setpgid");
        dprintf(1, "ready\n");
        report("signal", 0);
    }
    if (!strcmp(what, "deserter-stops")) {
        /* The same, and then stops itself as Ctrl-Z would. */
        pid_t child = start();
        setpgid(child, child);
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            pause();
        }
        if (setpgid(0, child) == -1)
            fail("setpgid");
        signal(SIGCONT, print_continued);
        raise(SIGTSTP);
        return 9;
    }
    if (!strcmp(what, "signal-parent")) {
        block_all();
        kill(getppid(), number);
        report("signal", number);
    }
    if (!strcmp(what, "group"))
        group(SIGTERM);
    if (!strcmp(what, "succeed"))
        succeed(number, count > 3 ? atoi(arguments[3]) : 0, count > 4);
    if (!strcmp(what, "orphans"))
        orphans(number);
    if (!strcmp(what, "daemon"))
        daemonise(number, count > 3 ? arguments[3] : "", count > 4 ? atoi(arguments[4]) : 0);
    if (!strcmp(what, "state")) {
        state();
        return 0;
    }
    if (!strcmp(what, "descriptors")) {
        descriptors();
        return 0;
    }
    if (!strcmp(what, "arguments")) {
        for (char **argument = arguments; *argument; argument++)
            if (write(1, *argument, strlen(*argument) + 1) == -1)
                fail("write");
        return 0;
    }
    if (!strcmp(what, "environment")) {
        for (char **entry = environ; *entry; entry++)
            if (write(1, *entry, strlen(*entry) + 1) == -1)
                fail("write");
        return 0;
    }
    if (!strcmp(what, "job"))
        job(0);
    if (!strcmp(what, "stop"))
        job(1);
    if (!strcmp(what, "parent"))
        parent(0, arguments + 2);
    if (!strcmp(what, "parent-of-pid-1"))
        parent(1, arguments + 2);
    if (!strcmp(what, "parent-with-thread"))
        parent_with_thread(arguments + 2);
    if (!strcmp(what, "spend") && count > 3)
        spend(number, arguments + 3);
    if (!strcmp(what, "refuse") && count > 4)
        refuse(number, atoi(arguments[3]), arguments + 4);
    dprintf(2, "probe: unknown command '%s'\n", what);
    return 97;
}
