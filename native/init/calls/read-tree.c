#define _GNU_SOURCE
/*
 * Reads a file or a tree for the daemon, in a process of its own (one-call.c), because reading may wait for ever. It writes what it finds to
 * its output; the names in a directory are in the order of their bytes. It follows no symlink on the way, and opens no device and no FIFO. The
 * caller decides what to do with the output; the caller's side, with the form of the output, is packages/sys/src/host-files/tree-reader.ts.
 */
#include "one-call.h"
#include "tree-output.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#ifndef RESOLVE_NO_XDEV
#define RESOLVE_NO_XDEV 0x01
#endif
#ifndef AT_STATX_DONT_SYNC
#define AT_STATX_DONT_SYNC 0x4000
#endif
#define STATX_BASIC_FIELDS 0x7ff

/* What the caller wants. */
#define WANT_CONTENT 1u    /* content of files, and xattrs */
#define WANT_BELOW 2u      /* the entries below a directory */
#define WANT_ONE_MOUNT 4u  /* of a mount inside the tree only the mount point */
#define FOLLOW_LAST 8u     /* follow a symlink at the end of the path */

/* Each level holds a descriptor. The caller ends the process at a smaller depth. */
#define DEPTH_LIMIT 2000
#define XATTR_LIMIT (64u << 10)

/* The structure of statx(2), which some C libraries do not have. */
struct moment {
  int64_t seconds;
  uint32_t nanoseconds;
  int32_t unused;
};
struct facts {
  uint32_t mask, block_size;
  uint64_t attributes;
  uint32_t links, uid, gid;
  uint16_t mode, unused;
  uint64_t inode, size, blocks, attributes_mask;
  struct moment accessed, born, changed, modified;
  uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
  uint64_t further[14];
};

/* Precedes the path and the link of an entry. */
struct entry_head {
  uint32_t mode, links, uid, gid, rdev_major, rdev_minor, dev_major, dev_minor;
  uint64_t inode, size;
  int64_t modified, changed;
  uint32_t modified_ns, changed_ns, foreign, path_length;
};

static uint32_t wanted;
static size_t path_size;

static bool gone(void) {
  return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ESTALE;
}

static void *larger(void *at, size_t size) {
  at = realloc(at, size);
  if (!at)
    stop_reading("realloc");
  return at;
}

static int open_in(int directory, const char *name, uint64_t flags, uint64_t resolve) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
  return sys_openat2(directory, name, &how);
}

static void put_xattrs(int fd) {
  static char names[XATTR_LIMIT], value[XATTR_LIMIT];
  ssize_t length = listxattr(path_of_descriptor(fd), names, sizeof names);
  if (length < 0 && errno != ENOTSUP && errno != EBADF && !gone())
    stop_reading("listxattr");
  for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1) {
    const char *name = names + at;
    ssize_t count = getxattr(path_of_descriptor(fd), name, value, sizeof value);
    if (count < 0 && errno != ENODATA && errno != ENOTSUP && !gone())
      stop_reading("getxattr");
    if (count < 0)
      continue;
    put_frame(FRAME_XATTR, strlen(name) + 1 + (size_t)count);
    put_output(name, strlen(name) + 1);
    put_output(value, (size_t)count);
  }
}

static void put_entry(const struct facts *facts, bool foreign, const char *link, size_t link_length) {
  struct entry_head head = {
      .mode = facts->mode,
      .links = facts->links,
      .uid = facts->uid,
      .gid = facts->gid,
      .rdev_major = facts->rdev_major,
      .rdev_minor = facts->rdev_minor,
      .dev_major = facts->dev_major,
      .dev_minor = facts->dev_minor,
      .inode = facts->inode,
      .size = facts->size,
      .modified = facts->modified.seconds,
      .changed = facts->changed.seconds,
      .modified_ns = facts->modified.nanoseconds,
      .changed_ns = facts->changed.nanoseconds,
      .foreign = foreign,
      .path_length = (uint32_t)entry_path_used,
  };
  put_frame(FRAME_ENTRY, sizeof head + entry_path_used + link_length);
  put_output(&head, sizeof head);
  put_output(entry_path, entry_path_used);
  put_output(link, link_length);
}

/* The caller may already have the content of a file with several names. */
static bool asker_wants_content(void) {
  char answer;
  flush_output();
  if (read(0, &answer, 1) != 1)
    _exit(1);
  return answer == 'y';
}

struct names {
  char *text;
  size_t used, size, count;
  const char **sorted;
};

static int compare(const void *left, const void *right) {
  static unsigned compared;
  if (++compared % (1 << 16) == 0)
    say_alive();
  return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static struct names read_names(int fd) {
  static _Alignas(struct entry) char buffer[PART / 2];
  struct names names = {0};
  for (long count; (count = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) != 0; say_alive()) {
    if (count < 0 && errno == ENOENT)
      break; /* the entry was removed meanwhile */
    if (count < 0)
      stop_reading("getdents64");
    for (long at = 0; at < count; at += ((struct entry *)(void *)(buffer + at))->length) {
      const char *name = ((const struct entry *)(const void *)(buffer + at))->name;
      size_t length = strlen(name) + 1;
      if (!strcmp(name, ".") || !strcmp(name, ".."))
        continue;
      if (names.used + length > names.size)
        names.text = larger(names.text, names.size = 2 * names.size + PART / 16 + length);
      memcpy(names.text + names.used, name, length);
      names.used += length;
      names.count++;
    }
  }
  if (names.count == 0)
    return names;
  names.sorted = larger(NULL, names.count * sizeof *names.sorted);
  const char *name = names.text;
  for (size_t i = 0; i < names.count; i++, name += strlen(name) + 1)
    names.sorted[i] = name;
  qsort(names.sorted, names.count, sizeof *names.sorted, compare);
  return names;
}

static void visit(int fd, bool foreign, unsigned depth);

static void visit_below(int fd, unsigned depth) {
  if (depth > DEPTH_LIMIT) {
    errno = ELOOP;
    stop_reading("openat2");
  }
  struct names names = read_names(fd);
  size_t above = entry_path_used;
  for (size_t i = 0; i < names.count; i++) {
    const char *name = names.sorted[i];
    size_t length = strlen(name);
    if (above + length + 1 > path_size)
      entry_path = larger(entry_path, path_size = 2 * (above + length + 1));
    if (above)
      entry_path[entry_path_used++] = '/';
    memcpy(entry_path + entry_path_used, name, length);
    entry_path_used += length;
    bool one_mount = wanted & WANT_ONE_MOUNT;
    int entry = open_in(fd, name, O_PATH | O_NOFOLLOW, one_mount ? RESOLVE_NO_XDEV : 0);
    bool foreign = entry < 0 && errno == EXDEV && one_mount;
    if (foreign)
      entry = open_in(fd, name, O_PATH | O_NOFOLLOW, 0);
    if (entry >= 0)
      visit(entry, foreign, depth);
    else if (!gone())
      stop_reading("openat2");
    entry_path_used = above;
    say_alive();
  }
  free(names.sorted);
  free(names.text);
}

/* `fd` is an O_PATH descriptor of the entry itself; this function closes it. */
static void visit(int fd, bool foreign, unsigned depth) {
  struct facts facts;
  char link[PATH_MAX];
  ssize_t link_length = 0;
  int content = -1, below = -1;
  /* Do not ask the server of another mount: it may not answer. */
  if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH | (foreign ? AT_STATX_DONT_SYNC : 0), STATX_BASIC_FIELDS, &facts) < 0)
    stop_reading("statx");
  if (!foreign && S_ISLNK(facts.mode) && (link_length = readlinkat(fd, "", link, sizeof link)) < 0)
    stop_reading("readlinkat");
  if (!foreign && S_ISREG(facts.mode) && wanted & WANT_CONTENT && (content = open(path_of_descriptor(fd), O_RDONLY | O_NONBLOCK | O_CLOEXEC)) < 0) {
    if (!gone())
      stop_reading("open");
    close_fd(&fd);
    return;
  }
  if (!foreign && wanted & WANT_CONTENT)
    put_xattrs(fd);
  put_entry(&facts, foreign, link, (size_t)link_length);
  if (!foreign && S_ISDIR(facts.mode) && wanted & WANT_BELOW && (below = open_in(fd, ".", O_RDONLY | O_DIRECTORY, 0)) < 0)
    stop_reading("openat2");
  close_fd(&fd);
  if (content >= 0 && (facts.links == 1 || asker_wants_content()))
    put_content(content, facts.size);
  close_fd(&content);
  if (below >= 0)
    visit_below(below, depth + 1);
  close_fd(&below);
}

/* Arguments: a root path (relative paths start at descriptor 3), a path inside that root, and what the caller wants, as a number. */
int call_read_tree(char **arguments) {
  wanted = (uint32_t)strtoul(arguments[2], NULL, 10);
  begin_output();
  int root = open_in(3, arguments[0], O_PATH | O_DIRECTORY, 0);
  if (root < 0)
    stop_reading("openat2");
  int top = open_in(root, arguments[1], O_PATH | (wanted & FOLLOW_LAST ? 0 : O_NOFOLLOW), RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (top < 0)
    stop_reading("openat2");
  visit(top, false, 0);
  put_frame(FRAME_END, 0);
  flush_output();
  return 0;
}
