/*
 * The agent where it can harm nobody, for tests that send it anything at all:
 * in its own process, mount, network and host name space, with DIRECTORY as
 * its root. The link's socket is DIRECTORY/agent.sock.
 *
 *   confined-agent DIRECTORY      exit code 77: this machine does not allow it
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int agent_main(int argc, char **argv);

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 77;
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
	char *arguments[] = { "dormouse-guest", "--socket", "/agent.sock", NULL };
	if (chroot(argv[1]) < 0 || chdir("/") < 0)
		_exit(77);
	return agent_main(3, arguments);
}
