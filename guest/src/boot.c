#include "boot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cgroup.h"
#include "etc-file.h"
#include "identity.h"
#include "kernel-files.h"
#include "log.h"
#include "loop.h"
#include "modules.h"
#include "protocol.h"
#include "shutdown.h"
#include "textfile.h"
#include "wire.h"

#define ROOT "/sysroot"
#define DEVICE_WAIT_MS 10000u
#define PORT_WAIT_MS 30000u
#define CMDLINE_BYTES 4096

_Noreturn static void fatal(const char *what, const char *subject)
{
	log_line("fatal: %s %s: %s", what, subject, strerror(errno));
	shutdown_now(false);
}

static void mount_or_log(const char *type, const char *target, unsigned long flags, const char *options)
{
	mkdir(target, 0755);
	if (mount(type, target, type, flags, options) < 0 && errno != EBUSY)
		log_line("mount %s: %s", target, strerror(errno));
}

/* The value of `key=` on the kernel's command line, or the given one. */
static void cmdline_value(const char *key, char *out, size_t size, const char *standard)
{
	char line[CMDLINE_BYTES];
	size_t key_length = strlen(key);
	copy_string(out, size, standard);
	if (!textfile_read_line("/proc/cmdline", line, sizeof line))
		return;
	for (char *word = strtok(line, " "); word; word = strtok(NULL, " "))
		if (strncmp(word, key, key_length) == 0 && word[key_length])
			copy_string(out, size, word + key_length);
}

/*
 * Waits for something to appear. Device nodes are made by the kernel, which
 * tells inotify; the short poll beside it covers names that come later.
 */
static bool wait_for(bool (*there)(void *), void *argument, unsigned timeout_ms)
{
	if (there(argument))
		return true;
	uint64_t end = now_ms() + timeout_ms;
	int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (watch >= 0)
		inotify_add_watch(watch, "/dev", IN_CREATE | IN_ATTRIB);
	bool found = false;
	while (!(found = there(argument)) && now_ms() < end) {
		char events[1024];
		struct pollfd poll_for = { .fd = watch, .events = POLLIN };
		poll(&poll_for, watch >= 0, 5);
		(void)!read(watch, events, sizeof events);
	}
	if (watch >= 0)
		close(watch);
	return found;
}

static bool is_block_device(void *path)
{
	struct stat status;
	return stat(path, &status) == 0 && S_ISBLK(status.st_mode);
}

/* Frees the memory of the initramfs: its files, not what is mounted over it. */
static void empty_initramfs(void)
{
	char path[512];
	DIR *modules = opendir("/modules");
	const struct dirent *entry;
	while (modules && (entry = readdir(modules))) {
		snprintf(path, sizeof path, "/modules/%s", entry->d_name);
		unlink(path);
	}
	if (modules)
		closedir(modules);
	rmdir("/modules");
	unlink("/init");
}

static void enter_root(const char *device, const char *type)
{
	static const char *const moved[] = { "/dev", "/proc", "/sys" };
	mkdir(ROOT, 0755);
	if (mount(device, ROOT, type, MS_NOATIME, NULL) < 0)
		fatal("cannot mount", device);
	for (size_t i = 0; i < sizeof moved / sizeof moved[0]; i++) {
		char target[64];
		snprintf(target, sizeof target, ROOT "%s", moved[i]);
		mkdir(target, 0755);
		if (mount(moved[i], target, NULL, MS_MOVE, NULL) < 0)
			fatal("cannot move", moved[i]);
	}
	empty_initramfs();
	if (chdir(ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		fatal("cannot enter", ROOT);
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	ioctl(fd, SIOCSIFFLAGS, &request);
	close(fd);
}

/* The name is a file of the workload's, which may have put anything in its place. */
static void set_hostname(void)
{
	struct etc_file file;
	if (etc_file_read_target(AT_FDCWD, "/etc/hostname", &file) == 0) {
		size_t length = strcspn(file.text, "\n");
		bool set = length && sethostname(file.text, length < MAX_HOSTNAME_BYTES ? length : MAX_HOSTNAME_BYTES) == 0;
		free(file.text);
		if (set)
			return;
	}
	(void)!sethostname("dormouse", 8);
}

static void furnish(void)
{
	mkdir("/dev/pts", 0755);
	if (mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666") < 0)
		log_line("mount /dev/pts: %s", strerror(errno));
	mount_or_log("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
	mount_or_log("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755");
	mkdir("/run/lock", 01777);
	if (mkdir("/tmp", 01777) == 0 || errno == EEXIST)
		chmod("/tmp", 01777);
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" },
	};
	for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
		(void)!symlink(links[i][0], links[i][1]);
	loopback_up();

	set_hostname();

	struct rlimit files = { .rlim_cur = 65536, .rlim_max = 1048576 };
	struct rlimit core = { 0, 0 };
	textfile_set("/proc/sys/fs/nr_open", "1048576");
	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_CORE, &core);
	/* A pattern that leads nowhere, for programs that raise the limit again. */
	textfile_set("/proc/sys/kernel/core_pattern", "/dev/null");
	textfile_set("/proc/sys/kernel/printk", "4 4 1 4");
	textfile_set("/proc/sys/fs/inotify/max_user_instances", "1024");
	textfile_set("/proc/sys/fs/inotify/max_user_watches", "524288");
}

void boot(void)
{
	char device[128];
	char type[32];
	umask(0);
	mount_or_log("devtmpfs", "/dev", MS_NOSUID, "mode=755");
	mount_or_log("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_or_log("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	modules_load();
	cmdline_value("dormouse.root=", device, sizeof device, "/dev/vda");
	cmdline_value("dormouse.rootfs=", type, sizeof type, "ext4");
	if (!wait_for(is_block_device, device, DEVICE_WAIT_MS)) {
		errno = ENODEV;
		fatal("no root device", device);
	}
	enter_root(device, type);
	furnish();
	kernel_files_open();
	cgroup_setup();
}

/* Finds the port by its name, since numbers depend on the machine's other ports. */
static bool find_port(void *found)
{
	DIR *ports = opendir("/sys/class/virtio-ports");
	const struct dirent *entry;
	bool hit = false;
	while (ports && !hit && (entry = readdir(ports))) {
		char path[320];
		char name[64];
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
		if (textfile_read_line(path, name, sizeof name) && strcmp(name, PROTOCOL_PORT_NAME) == 0) {
			snprintf(found, 320, "/dev/%s", entry->d_name);
			hit = access(found, F_OK) == 0;
		}
	}
	if (ports)
		closedir(ports);
	return hit;
}

int boot_open_port(void)
{
	char path[320];
	if (!wait_for(find_port, path, PORT_WAIT_MS)) {
		errno = ENODEV;
		fatal("no port", PROTOCOL_PORT_NAME);
	}
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		fatal("cannot open", path);
	return fd;
}
