#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "kernel-files.h"

#define CHILD_STACK_BYTES (64u << 10)
/* A wider pipe means fewer switches between a program that floods and us. */
#define STDOUT_PIPE_BYTES (256 << 10)
#define TTY_GROUP 5
/* How often another control group is tried when the workload makes each unusable. */
#define CGROUP_ATTEMPTS 4
/* How often, and after which time, a program is tried again that is open for writing: for half a second. */
#define BUSY_ATTEMPTS 100
#define BUSY_WAIT_NS 5000000

/* On a stack and in memory that are not its own, the sanitizer's bookkeeping would be wrong. */
#define IN_CHILD __attribute__((no_sanitize_address))

/* What only the child uses, prepared where memory can still be had. */
struct child {
	struct spawn *spawn;
	int stdio[3];
	int cgroup_fd;           /* cgroup.procs to join; -1: joined at birth or none */
	sigset_t mask;
};

/* The kernel's form of a signal's action: handler, flags, restorer, mask. */
struct kernel_action {
	uint64_t words[4];
};

IN_CHILD _Noreturn static void child_fail(struct child *child, enum spawn_stage stage, int error)
{
	child->spawn->error = error;
	child->spawn->stage = (int)stage;
	_exit(127);
}

/*
 * A program that was just written may still be open for writing in another
 * child, which has been born but has not closed its copies yet.
 */
IN_CHILD static void execute(const struct spawn *s, const char *path)
{
	for (int i = 0; i < BUSY_ATTEMPTS; i++) {
		struct timespec wait = { .tv_nsec = BUSY_WAIT_NS };
		execve(path, s->argv, s->env);
		if (errno != ETXTBSY)
			return;
		syscall(SYS_nanosleep, &wait, NULL);
	}
	errno = ETXTBSY;
}

IN_CHILD static void child_exec(struct child *child)
{
	struct spawn *s = child->spawn;
	const char *name = s->argv[0];
	char candidate[PATH_MAX];
	if (strchr(name, '/')) {
		execute(s, name);
		child_fail(child, SPAWN_EXEC, errno);
	}
	int error = ENOENT;
	for (const char *at = s->path; *at;) {
		size_t length = strcspn(at, ":");
		int n = snprintf(candidate, sizeof candidate, "%.*s%s%s", (int)length, at, length ? "/" : "./", name);
		if (n > 0 && (size_t)n < sizeof candidate) {
			execute(s, candidate);
			if (errno == EACCES)
				error = EACCES;
			else if (errno != ENOENT && errno != ENOTDIR)
				child_fail(child, SPAWN_EXEC, errno);
		}
		at += length + (at[length] == ':');
	}
	child_fail(child, SPAWN_EXEC, error);
}

/*
 * Shares the agent's memory until exec: calls nothing that takes locks or
 * allocates, and sets credentials by system call, since the C library would
 * try to change those of all the agent's threads.
 */
IN_CHILD static int child_main(void *argument)
{
	struct child *child = argument;
	struct spawn *s = child->spawn;
	if (child->cgroup_fd >= 0 && write(child->cgroup_fd, "0", 1) < 0)
		child_fail(child, SPAWN_SETUP, errno);
	int oom = openat(kernel_file(KERNEL_PROC), "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (oom >= 0)
		(void)!write(oom, "0", 1);
	for (int i = 0; i < 3; i++)
		if (dup2(child->stdio[i], i) < 0)
			child_fail(child, SPAWN_SETUP, errno);
	/*
	 * Copies of the agent's descriptors go before anything can take long: one
	 * keeps a pipe from ending and a file that was written from being executed.
	 */
	if (syscall(SYS_close_range, 3u, ~0u, 0u) < 0)
		child_fail(child, SPAWN_SETUP, errno);
	setpriority(PRIO_PROCESS, 0, 0);
	syscall(SYS_setsid);
	if (s->pty && ioctl(0, TIOCSCTTY, 0) < 0)
		child_fail(child, SPAWN_SETUP, errno);
	umask(022);
	if (syscall(SYS_setgroups, (size_t)s->group_count, s->groups) < 0 && getuid() == 0)
		child_fail(child, SPAWN_SETUP, errno);
	if (syscall(SYS_setresgid, s->user->gid, s->user->gid, s->user->gid) < 0 ||
	    syscall(SYS_setresuid, s->user->uid, s->user->uid, s->user->uid) < 0)
		child_fail(child, SPAWN_SETUP, errno);
	if (chdir(s->cwd) < 0 && !(s->cwd_optional && chdir("/") == 0))
		child_fail(child, SPAWN_CWD, errno);
	/* By system call: the C library's sigaction() takes a lock for SIGABRT. */
	static const struct kernel_action standard = { 0 };
	static const uint64_t none = 0;
	for (int i = 1; i < 65; i++)
		syscall(SYS_rt_sigaction, i, &standard, NULL, sizeof none);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
	child_exec(child);
	return 127;
}

#if defined(__x86_64__)
/*
 * clone3 with the child on a stack of its own, because it shares our memory:
 * the C library has no wrapper, and only clone3 lets a child be born in its
 * cgroup (moving it later waits for a grace period of the whole machine).
 */
static long clone3_on_stack(struct clone_args *arguments, int (*run)(void *), void *argument)
{
	long result;
	register int (*function)(void *) __asm__("r12") = run;
	register void *parameter __asm__("r13") = argument;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r13, %%rdi\n\t"
			 "call *%%r12\n\t"
			 "mov %%eax, %%edi\n\t"
			 "mov $60, %%eax\n\t"
			 "syscall\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(result)
			 : "0"((long)SYS_clone3), "D"(arguments), "S"(sizeof *arguments), "r"(function), "r"(parameter)
			 : "rcx", "r11", "memory");
	return result;
}

static pid_t start_child(struct child *child)
{
	int cgroup = cgroup_programs_fd();
	void *stack = malloc(CHILD_STACK_BYTES);
	if (!stack) {
		errno = ENOMEM;
		return -1;
	}
	struct clone_args arguments = {
		.flags = CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | CLONE_CLEAR_SIGHAND | (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
		.parent_tid = (uint64_t)(uintptr_t)&child->spawn->born,
		.exit_signal = SIGCHLD,
		.stack = (uint64_t)(uintptr_t)stack,
		.stack_size = CHILD_STACK_BYTES,
		.cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0,
	};
	child->cgroup_fd = -1;
	long pid = clone3_on_stack(&arguments, child_main, child);
	for (int i = 0; pid < 0 && i < CGROUP_ATTEMPTS && cgroup_renew_programs((int)-pid); i++)
		pid = clone3_on_stack(&arguments, child_main, child);
	free(stack);
	if (pid < 0) {
		errno = (int)-pid;
		return -1;
	}
	return (pid_t)pid;
}

bool spawn_may_be(const struct spawn *spawn, pid_t pid) { return spawn->born == pid; }
#else
static pid_t start_child(struct child *child)
{
	child->cgroup_fd = cgroup_programs_procs_fd();
	pid_t pid = vfork();
	if (pid == 0) {
		child->spawn->born = (pid_t)syscall(SYS_getpid);
		_exit(child_main(child));
	}
	return pid;
}

/* A child that is killed before its first instruction has not said its number. */
bool spawn_may_be(const struct spawn *spawn, pid_t pid) { return spawn->born == pid || !spawn->born; }
#endif

static void close_all(int *fds, int count)
{
	for (int i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* Opens a pipe whose `ours` end does not block. */
static bool open_pipe(int *ours, int *theirs, bool we_read)
{
	int pair[2];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return false;
	*ours = pair[we_read ? 0 : 1];
	*theirs = pair[we_read ? 1 : 0];
	return fcntl(*ours, F_SETFL, O_NONBLOCK) == 0;
}

static bool open_pipes(struct spawn *s, int theirs[3])
{
	if (s->stdin_open) {
		if (!open_pipe(&s->stdin_fd, &theirs[0], false))
			return false;
	} else if ((theirs[0] = fcntl(kernel_file(KERNEL_NULL), F_DUPFD_CLOEXEC, 3)) < 0) {
		return false;
	}
	if (!open_pipe(&s->stdout_fd, &theirs[1], true) || !open_pipe(&s->stderr_fd, &theirs[2], true))
		return false;
	/* Whoever opens /dev/stdout again is asked for permission, and our pipes are not the user's. */
	for (int i = s->stdin_open ? 0 : 1; i < 3; i++)
		if (fchown(theirs[i], s->user->uid, s->user->gid) < 0 && getuid() == 0)
			return false;
	/* Best effort: a user's pipe quota may forbid it. */
	fcntl(s->stdout_fd, F_SETPIPE_SZ, STDOUT_PIPE_BYTES);
	return true;
}

static bool open_terminal(struct spawn *s, int theirs[3])
{
	int unlock = 0;
	s->terminal_fd = kernel_terminal_open();
	if (s->terminal_fd < 0 || ioctl(s->terminal_fd, TIOCSPTLCK, &unlock) < 0)
		return false;
	int slave = ioctl(s->terminal_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return false;
	theirs[0] = theirs[1] = theirs[2] = slave;
	struct winsize size = { .ws_col = s->cols ? s->cols : 80, .ws_row = s->rows ? s->rows : 24 };
	ioctl(s->terminal_fd, TIOCSWINSZ, &size);
	if (fchown(slave, s->user->uid, TTY_GROUP) == 0)
		fchmod(slave, 0620);
	return true;
}

bool spawn(struct spawn *s)
{
	int theirs[3] = { -1, -1, -1 };
	struct child child = { .spawn = s };
	s->terminal_fd = s->stdin_fd = s->stdout_fd = s->stderr_fd = -1;
	s->stage = SPAWN_OK;
	s->pid = -1;
	bool opened = s->pty ? open_terminal(s, theirs) : open_pipes(s, theirs);
	if (opened) {
		memcpy(child.stdio, theirs, sizeof theirs);
		/* No handler of ours may run in the child while memory is shared. */
		sigset_t all;
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &child.mask);
		s->pid = start_child(&child);
		int error = errno;
		pthread_sigmask(SIG_SETMASK, &child.mask, NULL);
		if (s->pid < 0) {
			s->stage = SPAWN_SETUP;
			s->error = error;
		}
	} else {
		s->stage = SPAWN_SETUP;
		s->error = errno;
	}
	close_all(theirs, s->pty ? 1 : 3);
	if (s->stage == SPAWN_OK)
		return true;
	int ours[] = { s->terminal_fd, s->stdin_fd, s->stdout_fd, s->stderr_fd };
	close_all(ours, 4);
	return false;
}
