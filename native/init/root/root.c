#define _GNU_SOURCE
#include "../child/child.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define LINKS_LIMIT 40

int open_in_root(const struct child *child, const char *path, int flags) {
  struct open_how how = {
      .flags = (uint64_t)(flags | O_CLOEXEC),
      .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
  };
  if (child->root < 0) {
    errno = EBADF;
    return -1;
  }
  for (unsigned tries = 0;; tries++) {
    int fd = sys_openat2(child->root, *path ? path : "/", &how);
    /* EAGAIN: a rename happened while the kernel resolved "..", and the kernel wants another try. */
    if (fd >= 0 || errno != EAGAIN || tries == 64)
      return fd;
  }
}

/*
 * `path` ends with a component that starts at `start` and may be a link in `parent`. This replaces the component by the link's target, followed
 * by `rest`.
 * Returns 1 when it did, 0 when the component is no link, -1 with errno.
 */
static int follow_link(int parent, char *path, size_t start, const char *rest) {
  char target[PATH_MAX], whole[PATH_MAX];
  ssize_t length = readlinkat(parent, path + start, target, sizeof target - 1);
  if (length <= 0)
    return length == 0 || errno == EINVAL || errno == ENOENT ? 0 : -1;
  target[length] = 0;
  struct text text = {whole, 0, sizeof whole};
  if (target[0] != '/') {
    char saved = path[start];
    path[start] = 0;
    text_add(&text, path);
    path[start] = saved;
  }
  text_add(&text, target);
  text_add(&text, "/");
  text_add(&text, rest);
  if (text.used + 1 >= sizeof whole) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(path, whole, text.used + 1);
  return 1;
}

/*
 * Walks to `path` and makes missing directories. Each step is resolved again from the root, so that a link inside the root is followed as the
 * container would follow it. A directory is made through the descriptor of its parent.
 */
static int open_or_make(const struct child *child, const char *wanted, enum create_kind kind, mode_t mode) {
  char path[PATH_MAX];
  unsigned links = 0;
  size_t length = strlen(wanted);
  if (length + 2 > sizeof path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(path, wanted, length + 1);
again:;
  int parent = open_in_root(child, "/", O_PATH | O_DIRECTORY);
  size_t at = 0;
  while (parent >= 0) {
    while (path[at] == '/')
      at++;
    if (!path[at])
      return parent;
    size_t start = at;
    while (path[at] && path[at] != '/')
      at++;
    size_t end = at, rest = at;
    while (path[rest] == '/')
      rest++;
    bool last = !path[rest];
    bool directory = !last || kind == CREATE_DIRECTORY;
    char saved = path[end];
    path[end] = 0;
    int next = open_in_root(child, path, O_PATH | (last ? 0 : O_DIRECTORY));
    if (next < 0 && errno == ENOENT) {
      int made = directory ? mkdirat(parent, path + start, mode)
                           : openat(parent, path + start, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_WRONLY, 0644);
      if (made < 0 && errno == EEXIST && links++ < LINKS_LIMIT) {
        int led = follow_link(parent, path, start, saved ? path + end + 1 : "");
        close_fd(&parent);
        if (led < 0)
          return -1;
        if (led == 0)
          path[end] = saved; /* somebody has just made it: the next walk finds it */
        goto again;
      }
      if (made >= 0) {
        if (!directory)
          close_fd(&made);
        next = openat(parent, path + start, O_PATH | O_NOFOLLOW | O_CLOEXEC | (directory ? O_DIRECTORY : 0));
      }
    }
    path[end] = saved;
    close_fd(&parent);
    parent = next;
    if (last)
      return next;
  }
  return -1;
}

int open_target(const struct child *child, const char *path, enum create_kind create, mode_t mode) {
  int fd = open_in_root(child, path, O_PATH);
  if (fd >= 0 || errno != ENOENT || create == CREATE_NOTHING)
    return fd;
  return open_or_make(child, path, create, mode);
}

int open_parent(const struct child *child, const char *path, char name[256]) {
  size_t end = strlen(path);
  while (end && path[end - 1] == '/')
    end--;
  size_t start = end;
  while (start && path[start - 1] != '/')
    start--;
  size_t length = end - start;
  if (length == 0 || length > 255 || (length == 1 && path[start] == '.') || (length == 2 && !memcmp(path + start, "..", 2))) {
    errno = length > 255 ? ENAMETOOLONG : EEXIST;
    return -1;
  }
  memcpy(name, path + start, length);
  name[length] = 0;
  char parent[PATH_MAX];
  if (start + 1 > sizeof parent) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(parent, path, start);
  parent[start] = 0;
  int fd = open_target(child, parent, CREATE_DIRECTORY, 0755);
  return fd;
}

int private_procfs(struct child *child) {
  if (child->procfs >= 0)
    return child->procfs;
  int context = sys_fsopen("proc");
  if (context >= 0 && sys_fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL) == 0)
    child->procfs = sys_fsmount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  close_fd(&context);
  return child->procfs;
}
