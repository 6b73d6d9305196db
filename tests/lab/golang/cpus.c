/* cpus N COMMAND [ARGS...]: executes a command that sees N CPUs, at most 64, if it calls
   sched_getaffinity(2). The Go runtime uses only this call, at its start and when it reads its quota
   again. So its behaviour with many CPUs can be tested on any machine.

   Another process answers the call, see seccomp_unotify(2). It ends with the command and all of its
   children. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
	fprintf(stderr, "cpus: %s: %s\n", what, strerror(errno));
	exit(125);
}

static void answer(int listener, uint64_t mask)
{
	struct pollfd calls = { .fd = listener, .events = POLLIN };

	while (poll(&calls, 1, -1) >= 0 || errno == EINTR) {
		struct seccomp_notif call = { 0 };
		struct seccomp_notif_resp response = { 0 };

		/* No process is left that could call. */
		if (calls.revents & POLLHUP)
			return;
		/* The caller may have been interrupted meanwhile. */
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call))
			continue;
		struct iovec ours = { &mask, sizeof mask };
		struct iovec theirs = { (void *)(uintptr_t)call.data.args[2], sizeof mask };
		response.id = call.id;
		if (call.data.args[1] < sizeof mask)
			response.error = -EINVAL;
		else if (process_vm_writev((pid_t)call.pid, &ours, 1, &theirs, 1, 0) != sizeof mask)
			response.error = -EFAULT;
		else
			response.val = sizeof mask;
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
	}
}

static int receive(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof control };
	int descriptor;

	if (recvmsg(socket, &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
		exit(125);
	memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
	return descriptor;
}

static void send_to(int socket, int descriptor)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof descriptor);
	memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
	if (sendmsg(socket, &message, 0) != 1)
		fail("sendmsg");
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[1]) : 0;
	int sockets[2];
	pid_t child;

	if (count < 1 || count > 64) {
		fputs("usage: cpus N COMMAND [ARGS...]\n", stderr);
		return 125;
	}
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sockets))
		fail("socketpair");
	child = fork();
	if (child < 0)
		fail("fork");
	if (child == 0) {
		/* Nobody's child, so that the command meets no process that it does not know. */
		if (fork() != 0)
			_exit(0);
		close(sockets[0]);
		int listener = receive(sockets[1]);
		/* What the command writes to ends with it. */
		int nothing = open("/dev/null", O_RDWR);
		for (int standard = 0; standard < 3; standard++)
			dup2(nothing, standard);
		answer(listener, UINT64_MAX >> (64 - count));
		_exit(0);
	}
	waitpid(child, NULL, 0);
	close(sockets[1]);

	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_sched_getaffinity, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof filter / sizeof *filter, filter };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fail("prctl");
	int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				    SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	if (listener < 0)
		fail("seccomp");
	send_to(sockets[0], listener);
	execvp(argv[2], argv + 2);
	fail(argv[2]);
}
