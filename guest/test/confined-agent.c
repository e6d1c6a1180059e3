/*
 * The agent where it can harm nobody, for tests that send it anything at all:
 * in its own process, mount, network and host name space, with DIRECTORY as
 * its root. The link's socket is DIRECTORY/agent.sock.
 *
 *   confined-agent DIRECTORY            exit code 77: this machine does not allow it
 *   confined-agent DIRECTORY machine    the agent believes to be in a machine of its own: it names
 *                                       it, sets its network, holds and wakes it. The clock stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/cgroup.h"
#include "../src/kernel-files.h"
#include "../src/settings.h"

int agent_main(int argc, char **argv);

static bool grouped;

/* The clock is the whole machine's, so setting it only seems to work. */
static bool spare_the_clock(void)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_settime, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { .len = sizeof program / sizeof program[0], .filter = program };
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static bool own_device(const char *device, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	close(fd);
	return mount(device, path, NULL, MS_BIND, NULL) == 0;
}

/* A control group of this test's own, which stands in for the root group of a machine. */
static bool own_group(pid_t name)
{
	char line[512], path[512] = "", file[640];
	FILE *mounts = fopen("/proc/self/mounts", "re");
	while (mounts && !path[0] && fgets(line, sizeof line, mounts)) {
		char point[256], type[64];
		if (sscanf(line, "%*s %255s %63s", point, type) == 2 && strcmp(type, "cgroup2") == 0)
			snprintf(path, sizeof path, "%s/dormouse-test-%d", point, (int)name);
	}
	if (mounts)
		fclose(mounts);
	if (!path[0] || mkdir(path, 0755) < 0)
		return false;
	snprintf(file, sizeof file, "%s/cgroup.procs", path);
	FILE *procs = fopen(file, "we");
	bool moved = procs && fputs("0", procs) >= 0;
	return procs && fclose(procs) == 0 && moved && unshare(CLONE_NEWCGROUP) == 0;
}

/* In the directory that will be the root. */
static bool become_machine(pid_t name)
{
	settings_own_machine = true;
	/* The agent of a machine inherits orphans. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setpriority(PRIO_PROCESS, 0, -20);
	grouped = own_group(name);
	/* Tests that need it look whether the machine has it. */
	own_device("/dev/fuse", "dev/fuse");
	return spare_the_clock() && own_device("/dev/urandom", "dev/urandom");
}

int main(int argc, char **argv)
{
	bool machine = argc == 3 && strcmp(argv[2], "machine") == 0;
	if (argc != 2 && !machine)
		return 2;
	if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 77;
	pid_t name = getpid();
	pid_t pid = fork();
	if (pid < 0)
		return 1;
	if (pid > 0) {
		int status;
		signal(SIGTERM, SIG_DFL);
		waitpid(pid, &status, 0);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	struct rlimit file_size = { 64 << 20, 64 << 20 };
	setrlimit(RLIMIT_FSIZE, &file_size);
	signal(SIGXFSZ, SIG_IGN);
	/* Not the first process of its name space: that one would be spared signals. */
	pid = fork();
	if (pid > 0) {
		int status;
		while (waitpid(-1, &status, 0) != pid)
			;
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
	/* The leak check looks at its own threads in /proc; nobody may write there. */
	if (chdir(argv[1]) < 0 || mount("proc", "proc", "proc", MS_NOSUID | MS_NOEXEC, NULL) < 0 ||
	    mount(NULL, "proc", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
		_exit(77);
	if (machine && !become_machine(name))
		_exit(77);
	char *arguments[] = { "dormouse-guest", "--socket", "/agent.sock", NULL };
	if (chroot(argv[1]) < 0 || chdir("/") < 0)
		_exit(77);
	if (machine) {
		kernel_files_open();
		if (grouped)
			cgroup_setup();
	}
	return agent_main(3, arguments);
}
