/*
 * A FUSE file system whose server stops answering without ending, as an NFS server may do. `hung-fuse DIRECTORY` mounts it there. Every name in
 * it is an empty directory and nothing may be cached. It prints "ready". After the first SIGUSR1 it accepts every request and answers none.
 * SIGUSR2 makes it slow, the next SIGUSR2 fast again. SIGTERM ends it, and all requests with it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SLOW_MICROSECONDS 400000

static volatile sig_atomic_t hung, slow;

static void hang(int signal) {
  (void)signal;
  hung = 1;
}

static void change_speed(int signal) {
  (void)signal;
  slow = !slow;
}

static void answer(int fd, uint64_t unique, int error, void *data, size_t length) {
  struct fuse_out_header head = {.len = (uint32_t)(sizeof head + length), .error = -error, .unique = unique};
  struct iovec parts[] = {{&head, sizeof head}, {data, length}};
  if (writev(fd, parts, 2) < 0 && errno != ENOENT)
    perror("hung-fuse: answer");
}

static struct fuse_attr directory(uint64_t node) {
  return (struct fuse_attr){.ino = node, .mode = S_IFDIR | 0755, .nlink = 2, .blksize = 4096};
}

/* The same name always gives the same directory (FNV-1a). */
static uint64_t node_of(uint64_t parent, const char *name) {
  uint64_t node = 0xcbf29ce484222325u ^ parent;
  for (; *name; name++)
    node = (node ^ (uint8_t)*name) * 0x100000001b3u;
  return node | 2;
}

static void serve(int fd, const struct fuse_in_header *in) {
  switch (in->opcode) {
  case FUSE_INIT: {
    struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 65536};
    answer(fd, in->unique, 0, &out, sizeof out);
    return;
  }
  case FUSE_LOOKUP: {
    uint64_t node = node_of(in->nodeid, (const char *)(in + 1));
    struct fuse_entry_out out = {.nodeid = node, .attr = directory(node)};
    answer(fd, in->unique, 0, &out, sizeof out);
    return;
  }
  case FUSE_GETATTR: {
    struct fuse_attr_out out = {.attr = directory(in->nodeid)};
    answer(fd, in->unique, 0, &out, sizeof out);
    return;
  }
  case FUSE_OPENDIR: {
    struct fuse_open_out out = {0};
    answer(fd, in->unique, 0, &out, sizeof out);
    return;
  }
  case FUSE_STATFS: {
    struct fuse_statfs_out out = {0};
    answer(fd, in->unique, 0, &out, sizeof out);
    return;
  }
  case FUSE_READDIR:
  case FUSE_RELEASEDIR:
    answer(fd, in->unique, 0, NULL, 0);
    return;
  case FUSE_FORGET:
  case FUSE_BATCH_FORGET:
    return;
  default:
    answer(fd, in->unique, ENOSYS, NULL, 0);
  }
}

int main(int argc, char **argv) {
  char options[128];
  static char request[1 << 17];
  int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (argc != 2 || fd < 0)
    return perror("hung-fuse: /dev/fuse"), 1;
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd);
  struct sigaction action = {.sa_handler = hang};
  sigaction(SIGUSR1, &action, NULL);
  action.sa_handler = change_speed;
  sigaction(SIGUSR2, &action, NULL);
  if (mount("hung", argv[1], "fuse", MS_NODEV | MS_NOSUID, options) < 0)
    return perror("hung-fuse: mount"), 1;
  puts("ready");
  fflush(stdout);
  for (;;) {
    ssize_t length = read(fd, request, sizeof request);
    if (length < 0 && (errno == EINTR || errno == ENOENT))
      continue;
    if (length < 0)
      return 0;
    if (slow)
      usleep(SLOW_MICROSECONDS);
    if (!hung)
      serve(fd, (const struct fuse_in_header *)request);
  }
}
