/* dormouse-guest: PID 1 of the guest, or with --socket an agent for tests. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "boot.h"
#include "job.h"
#include "kernel-files.h"
#include "link.h"
#include "log.h"
#include "loop.h"
#include "process.h"
#include "settings.h"
#include "textfile.h"

static struct source listener = { .fd = -1 };

static void accept_host(struct source *source, uint32_t events)
{
	(void)events;
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		link_serve(fd, LINK_SOCKET);
}

static bool listen_on(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof address.sun_path) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(address.sun_path, path, strlen(path));
	unlink(path);
	listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	listener.ready = accept_host;
	return listener.fd >= 0 && bind(listener.fd, (struct sockaddr *)&address, sizeof address) == 0 &&
	       chmod(path, 0600) == 0 && listen(listener.fd, 8) == 0 && loop_add(&listener, EPOLLIN);
}

static bool start_services(void) { return loop_init() && jobs_init() && process_init(); }

/* The workload may use up memory and processor; the agent answers all the same. */
static void protect_self(void)
{
	textfile_set("/proc/self/oom_score_adj", "-1000");
	setpriority(PRIO_PROCESS, 0, -20);
	/* Locked as it is touched: locking all at once would fill every buffer and stack. */
	mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}

static int serve_socket(const char *path)
{
	/* What the caller left open is not for the programs started here. */
	syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
	umask(0);
	if (!kernel_files_opened())
		kernel_files_open();
	if (!start_services() || !listen_on(path)) {
		log_line("%s: %s", path, strerror(errno));
		return 1;
	}
	for (;;)
		loop_turn(-1);
}

static int serve_machine(void)
{
	settings_own_machine = true;
	boot();
	protect_self();
	if (!start_services() || !link_serve(boot_open_port(), LINK_PORT)) {
		log_line("fatal: cannot serve: %s", strerror(errno));
		return 1;
	}
	for (;;)
		loop_turn(-1);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return puts("dormouse-guest " AGENT_VERSION) < 0;
	if (argc == 3 && strcmp(argv[1], "--socket") == 0)
		return serve_socket(argv[2]);
	if (getpid() == 1 && argc >= 1)
		return serve_machine();
	fputs("usage: dormouse-guest --socket PATH\n"
	      "As PID 1 it boots the guest and serves the virtio-serial port.\n", stderr);
	return 2;
}
