/*
 * The program of the built-in image fathom/hello. It looks around inside its container and prints what it finds, and the steps that the engine
 * took to start it (the engine puts the file STEPS there). Static, no arguments, no network.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define STEPS "/.fathom/steps"

static char buffer[65536];

/* Reads a whole small file into `buffer`; returns its length, or -1. */
static ssize_t slurp(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t count;

	if (fd < 0)
		return -1;
	while (used < sizeof(buffer) - 1 && (count = read(fd, buffer + used, sizeof(buffer) - 1 - used)) > 0)
		used += (size_t)count;
	close(fd);
	buffer[used] = '\0';
	return (ssize_t)used;
}

static void print_root(void)
{
	char *line, *rest;

	if (slurp("/proc/self/mountinfo") < 0)
		return;
	printf("The root file system\n");
	for (line = strtok_r(buffer, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char target[256], type[64] = "";
		char *dash = strstr(line, " - ");

		if (!dash || sscanf(line, "%*s %*s %*s %*s %255s", target) != 1 || strcmp(target, "/") != 0)
			continue;
		sscanf(dash, " - %63s", type);
		printf("  %s: image layers that are never written, and one writable layer of this container on top\n", type);
	}
}

static void print_mounts(void)
{
	char *line, *rest;
	int count = 0;

	if (slurp("/proc/self/mountinfo") < 0)
		return;
	for (line = strtok_r(buffer, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		count++;
	printf("  %d mounts in all; /proc/self/mountinfo lists them\n", count);
}

static void print_namespaces(void)
{
	static const struct {
		const char *name;
		const char *meaning;
	} kinds[] = {
		{ "mnt", "its own mounts" },
		{ "pid", "its own process ids" },
		{ "net", "its own interfaces, routes and ports" },
		{ "ipc", "its own shared memory and queues" },
		{ "uts", "its own host name" },
		{ "cgroup", "its own view of the limits" },
		{ "user", "who is root here" },
	};
	size_t i;

	printf("Namespaces\n");
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		char path[64], target[64];
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i].name);
		length = readlink(path, target, sizeof(target) - 1);
		if (length < 0)
			continue;
		target[length] = '\0';
		printf("  %-20s %s\n", target, kinds[i].meaning);
	}
}

static void print_status(void)
{
	static const char *const keys[] = { "CapEff:", "NoNewPrivs:", "Seccomp:", "Cpus_allowed_list:" };
	char *line, *rest;
	size_t i;

	if (slurp("/proc/self/status") < 0)
		return;
	printf("What this process may do\n");
	for (line = strtok_r(buffer, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			if (!strncmp(line, keys[i], strlen(keys[i])))
				printf("  %-20s %s\n", keys[i], line + strlen(keys[i]) + 1);
}

int main(void)
{
	struct utsname name;

	uname(&name);
	printf("Hello from Fathom!\n\nThis program is process %d of its container, on host %s, Linux %s.\n\n", getpid(), name.nodename,
	       name.release);
	print_root();
	print_mounts();
	printf("\n");
	print_namespaces();
	printf("\n");
	print_status();
	if (slurp(STEPS) >= 0)
		printf("\nThe steps that led here\n%s", buffer);
	printf("\nNext: fathom explain run hello    the same steps, before they are taken\n"
	       "      fathom run -it alpine sh    a shell in a container\n");
	return 0;
}
