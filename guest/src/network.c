/* NETWORK: one interface with a static IPv4 address. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "identity.h"
#include "job.h"
#include "loop.h"
#include "operations.h"
#include "settings.h"

#define MAX_ADDRESS_BYTES MAX_NAME_SERVER_BYTES
/* How long NETWORK waits for files in /etc. */
#define FILES_WAIT_MS 5000u

struct network_job {
	struct job job;
	char interface[IFNAMSIZ];
	bool up;
	bool routed;
	struct in_addr address;
	struct in_addr mask;
	struct in_addr gateway;
	char name_server[MAX_ADDRESS_BYTES + 1];
};

static bool first_interface(char *name)
{
	struct if_nameindex *list = if_nameindex();
	bool found = false;
	for (const struct if_nameindex *i = list; i && i->if_index && !found; i++) {
		if (strcmp(i->if_name, "lo") != 0) {
			copy_string(name, IFNAMSIZ, i->if_name);
			found = true;
		}
	}
	if (list)
		if_freenameindex(list);
	return found;
}

static void set_address(struct sockaddr *to, struct in_addr address)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = address };
	memcpy(to, &in, sizeof in);
}

static int set_flags(int fd, struct ifreq *request, bool up)
{
	if (ioctl(fd, SIOCGIFFLAGS, request) < 0)
		return errno;
	if (up)
		request->ifr_flags |= IFF_UP;
	else
		request->ifr_flags &= (short)~IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, request) < 0 ? errno : 0;
}

static int set_route(int fd, const struct network_job *network)
{
	char device[IFNAMSIZ];
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = device };
	struct in_addr any = { 0 };
	copy_string(device, sizeof device, network->interface);
	set_address(&route.rt_dst, any);
	set_address(&route.rt_genmask, any);
	set_address(&route.rt_gateway, any);
	/* The former default route, if any; bounded, as others may add some meanwhile. */
	for (int i = 0; i < 8 && ioctl(fd, SIOCDELRT, &route) == 0; i++)
		;
	if (!network->routed)
		return 0;
	set_address(&route.rt_gateway, network->gateway);
	return ioctl(fd, SIOCADDRT, &route) < 0 && errno != EEXIST ? errno : 0;
}

static int apply(int fd, struct network_job *network)
{
	struct ifreq request = { 0 };
	copy_string(request.ifr_name, sizeof request.ifr_name, network->interface);
	if (!network->up)
		return set_flags(fd, &request, false);
	set_address(&request.ifr_addr, network->address);
	if (ioctl(fd, SIOCSIFADDR, &request) < 0)
		return errno;
	set_address(&request.ifr_netmask, network->mask);
	if (ioctl(fd, SIOCSIFNETMASK, &request) < 0)
		return errno;
	int error = set_flags(fd, &request, true);
	if (!error)
		error = set_route(fd, network);
	return error;
}

static enum job_next step(struct job *job)
{
	struct network_job *network = container_of(job, struct network_job, job);
	if (!network->interface[0] && !first_interface(network->interface))
		return job_fail(job, ENODEV, "network interface");
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return job_fail(job, errno, "socket");
	int error = apply(fd, network);
	close(fd);
	if (error == ENODEV) {
		result_fail(&job->result, RESULT_NOT_FOUND, error, "no network interface '%s'", network->interface);
		return JOB_DONE;
	}
	return error ? job_fail(job, error, network->interface) : job_ok(job);
}

/* The interface works by now; the files may fail. */
static bool finish(struct job *job)
{
	const struct network_job *network = container_of(job, struct network_job, job);
	struct stream *stream = job->stream;
	struct identity identity = { 0 };
	if (!stream || job->result.code != RESULT_OK || !network->up)
		return false;
	gethostname(identity.name, sizeof identity.name - 1);
	copy_string(identity.name_server, sizeof identity.name_server, network->name_server);
	job->stream = NULL;
	identity_answer(stream, &identity, FILES_WAIT_MS);
	return true;
}

static bool parse_prefix(struct network_job *network, const char *text)
{
	char address[MAX_ADDRESS_BYTES + 1];
	char *end;
	copy_string(address, sizeof address, text);
	char *slash = strchr(address, '/');
	if (!slash)
		return false;
	*slash++ = 0;
	unsigned long prefix = strtoul(slash, &end, 10);
	if (end == slash || *end || prefix > 32)
		return false;
	network->mask.s_addr = prefix ? htonl(UINT32_MAX << (32 - prefix)) : 0;
	return inet_pton(AF_INET, address, &network->address) == 1;
}

static const struct job_ops ops = { .lane = LANE_NETWORK, .step = step, .finish = finish };

void network_set(struct stream *stream, struct reader *arguments)
{
	const char *interface = read_string(arguments, IFNAMSIZ - 1);
	const char *address = read_string(arguments, MAX_ADDRESS_BYTES);
	const char *gateway = read_string(arguments, MAX_ADDRESS_BYTES);
	const char *name_server = read_string(arguments, MAX_ADDRESS_BYTES);
	struct network_job parsed = { .up = *address, .routed = *gateway };
	struct in6_addr ignored;
	copy_string(parsed.interface, sizeof parsed.interface, interface);
	copy_string(parsed.name_server, sizeof parsed.name_server, name_server);
	if (!reader_done(arguments) || (parsed.up && !parse_prefix(&parsed, address)) ||
	    (parsed.routed && inet_pton(AF_INET, gateway, &parsed.gateway) != 1) ||
	    (*name_server && inet_pton(AF_INET, name_server, &ignored) != 1 && inet_pton(AF_INET6, name_server, &ignored) != 1)) {
		stream_close_with(stream, RESULT_INVALID_ARGUMENT, 0, "malformed address");
		return;
	}
	if (!settings_own_machine) {
		stream_close_with(stream, RESULT_UNSUPPORTED, 0, "not inside a virtual machine");
		return;
	}
	struct network_job *network = job_new(sizeof *network, &ops);
	if (!network) {
		stream_close_with(stream, RESULT_RESOURCE_EXHAUSTED, ENOMEM, "memory is short");
		return;
	}
	parsed.job = network->job;
	*network = parsed;
	job_start(&network->job, stream);
}
