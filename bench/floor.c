/*
 * The lower limit for every container engine: the time that the kernel alone needs for one container. The program clones a process into new
 * mount, pid, ipc, uts and cgroup namespaces (with --net also a network namespace). It mounts an overlay, makes it the root by pivot_root and
 * executes a program there. The measured time begins before the directories of the writable layer are made, and ends when the program has been
 * reaped. The output is the median in milliseconds.
 *
 * floor [--net] [--all] COUNT LOWER SCRATCH PROGRAM [ARGUMENT…]
 *
 * LOWER is a root filesystem (or several, joined by ':', the uppermost first), SCRATCH an empty directory to work in. --all prints every time,
 * one a line, instead of the median.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES (256 * 1024)
#define MAX_COUNT 100000

struct container {
  const char *merged;
  const char *options;
  char **arguments;
};

static void die(const char *what) {
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/* The child: first process of its container. */
static int run_container(void *argument) {
  const struct container *container = argument;
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) die("mount private");
  if (mount("overlay", container->merged, "overlay", 0, container->options) < 0) die("mount overlay");
  if (chdir(container->merged) < 0) die("chdir");
  if (syscall(SYS_pivot_root, ".", ".") < 0) die("pivot_root");
  if (umount2(".", MNT_DETACH) < 0) die("umount");
  if (chdir("/") < 0) die("chdir /");
  char *environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
  execve(container->arguments[0], container->arguments, environment);
  die(container->arguments[0]);
  return 1;
}

static int compare(const void *left, const void *right) {
  double a = *(const double *)left, b = *(const double *)right;
  return a < b ? -1 : a > b;
}

static void make_directory(const char *path) {
  if (mkdir(path, 0755) < 0) die(path);
}

int main(int argc, char **argv) {
  int flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | SIGCHLD;
  bool all = false;
  int at = 1;
  for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
    if (strcmp(argv[at], "--net") == 0) flags |= CLONE_NEWNET;
    else if (strcmp(argv[at], "--all") == 0) all = true;
    else break;
  }
  if (argc - at < 4) {
    fprintf(stderr, "usage: floor [--net] [--all] COUNT LOWER SCRATCH PROGRAM [ARGUMENT...]\n");
    return 2;
  }
  int count = atoi(argv[at]);
  const char *lower = argv[at + 1], *scratch = argv[at + 2];
  if (count < 1 || count > MAX_COUNT) return 2;
  double *times = calloc((size_t)count, sizeof *times);
  char *stack = malloc(STACK_BYTES);
  if (times == NULL || stack == NULL) die("memory");
  char merged[4096], upper[4096], work[4096], inner[4096 + 8], options[3 * 4096 + 64];
  snprintf(merged, sizeof merged, "%s/merged", scratch);
  make_directory(merged);

  for (int index = 0; index < count; index++) {
    snprintf(upper, sizeof upper, "%s/upper", scratch);
    snprintf(work, sizeof work, "%s/work", scratch);
    snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work);
    struct container container = {.merged = merged, .options = options, .arguments = argv + at + 3};
    double start = now_ms();
    make_directory(upper);
    make_directory(work);
    int status = 0;
    int pid = clone(run_container, stack + STACK_BYTES, flags, &container);
    if (pid < 0) die("clone");
    if (waitpid(pid, &status, 0) < 0) die("waitpid");
    times[index] = now_ms() - start;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      fprintf(stderr, "floor: the program ended with status %#x\n", status);
      return 1;
    }
    /* The program has written nothing, so only the files of overlay itself are there. */
    snprintf(inner, sizeof inner, "%s/work", work);
    rmdir(inner);
    if (rmdir(upper) < 0 || rmdir(work) < 0) die("rmdir");
  }
  rmdir(merged);
  if (all) {
    for (int index = 0; index < count; index++) printf("%.3f\n", times[index]);
  } else {
    qsort(times, (size_t)count, sizeof *times, compare);
    printf("%.3f\n", count % 2 ? times[count / 2] : (times[count / 2 - 1] + times[count / 2]) / 2);
  }
  return 0;
}
