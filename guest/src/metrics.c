/* METRICS and INFO. Everything here is read from the kernel's memory, so it stays on the main thread. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "kernel-files.h"
#include "operations.h"
#include "process.h"
#include "settings.h"

#define PROC_BYTES 16384

static void send_and_close(struct stream *stream, struct message *message)
{
	struct packet *packet = message_finish(message);
	if (!packet) {
		stream_close_with(stream, RESULT_RESOURCE_EXHAUSTED, ENOMEM, "memory is short");
		return;
	}
	stream_send(stream, packet);
	stream_close_ok(stream);
}

/* A line of /proc/meminfo in bytes; 0 when there is none. */
static uint64_t memory_line(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

/* Busy and idle milliseconds over all processors since boot. */
static void processor_times(uint64_t *busy, uint64_t *idle)
{
	char text[512];
	unsigned long long t[8] = { 0 };
	long per_second = sysconf(_SC_CLK_TCK);
	*busy = *idle = 0;
	if (!kernel_file_read(KERNEL_STAT, text, sizeof text) || per_second <= 0)
		return;
	sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]);
	*busy = (t[0] + t[1] + t[2] + t[5] + t[6] + t[7]) * 1000 / (uint64_t)per_second;
	*idle = (t[3] + t[4]) * 1000 / (uint64_t)per_second;
}

/* By system call: a C library may look in /sys. */
static uint64_t processors(void)
{
	cpu_set_t set;
	return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint64_t)CPU_COUNT(&set) : 1;
}

static uint64_t uptime_ms(void)
{
	struct timespec t = { 0 };
	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void system_metrics(struct stream *stream, struct reader *arguments)
{
	char text[PROC_BYTES];
	uint64_t busy, idle;
	struct statvfs disk = { 0 };
	if (!reader_done(arguments)) {
		stream_close_with(stream, RESULT_INVALID_ARGUMENT, 0, "malformed arguments");
		return;
	}
	kernel_file_read(KERNEL_MEMINFO, text, sizeof text);
	processor_times(&busy, &idle);
	statvfs("/", &disk);
	uint64_t unit = disk.f_frsize;
	uint64_t values[] = {
		uptime_ms(),
		processors(),
		busy,
		idle,
		memory_line(text, "MemTotal:"),
		memory_line(text, "MemAvailable:"),
		memory_line(text, "\nCached:"),
		memory_line(text, "SwapTotal:") - memory_line(text, "SwapFree:"),
		disk.f_blocks * unit,
		(disk.f_blocks - disk.f_bfree) * unit,
		disk.f_bavail * unit,
		process_running_count(),
	};
	struct message message = message_begin(MESSAGE_METRICS, sizeof values);
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
		write_u64(&message.body, values[i]);
	send_and_close(stream, &message);
}

void system_info(struct stream *stream, struct reader *arguments)
{
	char boot_id[64];
	struct utsname names;
	struct timespec now;
	if (!reader_done(arguments)) {
		stream_close_with(stream, RESULT_INVALID_ARGUMENT, 0, "malformed arguments");
		return;
	}
	kernel_file_read(KERNEL_BOOT_ID, boot_id, sizeof boot_id);
	boot_id[strcspn(boot_id, "\n")] = 0;
	uname(&names);
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t now_unix = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	struct message message = message_begin(MESSAGE_INFO, 512);
	struct writer *w = &message.body;
	write_u32(w, PROTOCOL_VERSION);
	write_string(w, AGENT_VERSION);
	write_string(w, names.release);
	write_string(w, boot_id);
	write_string(w, names.nodename);
	write_u64(w, (uint64_t)(now_unix - (int64_t)uptime_ms()));
	/* Serving begins after the root file system is in place. */
	write_u8(w, settings_own_machine);
	send_and_close(stream, &message);
}
