#define _GNU_SOURCE
#include "child.h"
#include "reaper.h"

#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

void await_commit(struct child *child) {
  int none[1];
  unsigned count = 0;
  if (child->uncommitted && receive_letter(child->socket, none, &count) != SAYS_COMMIT)
    end_child(137);
  child->uncommitted = false;
}

bool is_null_device(int fd) {
  struct stat about;
  return fstat(fd, &about) == 0 && S_ISCHR(about.st_mode) && about.st_rdev == makedev(1, 3);
}

/* A stream from or to nowhere is the container's own null device. With a descriptor of the host's device, the container could look at the host. */
static void own_null_device(struct child *child, int stream) {
  if (child->stdio[stream] < 0 || !is_null_device(child->stdio[stream]))
    return;
  int own = open_in_root(child, "/dev/null", (stream == 0 ? O_RDONLY : O_WRONLY) | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (own >= 0 && is_null_device(own)) {
    close_fd(&child->stdio[stream]);
    child->stdio[stream] = own;
  } else {
    close_fd(&own);
  }
}

int settle(struct child *child) {
  if (child->settled)
    return 0;
  await_commit(child);
  if (open_console(child) < 0)
    return -1;
  follow_supervisor(child);
  for (int i = 0; i < 3; i++) {
    own_null_device(child, i);
    if (child->stdio[i] >= 0 && dup2(child->stdio[i], i) < 0)
      return fail("dup2", "");
  }
  if (sys_close_range(3 + child->preserved, UINT_MAX, CLOSE_RANGE_CLOEXEC) < 0)
    return fail("close_range", "");
  reset_signals();
  umask(child->umask_set ? child->umask : 0022);
  child->settled = true;
  if (child->direct)
    follow_supervisor(child); /* ends the death signal */
  return 0;
}

char **pointers(struct list list) {
  char **array = map_pages((list.count + 1) * sizeof(char *), false);
  for (uint32_t i = 0; array && i < list.count; i++)
    array[i] = (char *)(uintptr_t)read_text(&list.items);
  return array;
}

/* The first candidate that can be executed; NULL when there is none, and the failure is recorded. */
static const char *find_program(struct list candidates) {
  int error = ENOENT;
  const char *call = "stat", *which = "";
  for (uint32_t i = 0; i < candidates.count; i++) {
    const char *path = read_text(&candidates.items);
    struct stat about;
    int wrong = 0;
    const char *step = "stat";
    if (stat(path, &about) < 0) {
      wrong = errno;
    } else if (S_ISDIR(about.st_mode)) {
      wrong = EISDIR;
    } else if (!(about.st_mode & 0111) || (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 && errno == EACCES)) {
      wrong = EACCES;
      step = "access";
    }
    if (wrong != ENOENT && wrong != ENOTDIR && wrong != EACCES && wrong != EISDIR)
      return path;
    if (i == 0 || error == ENOENT || error == ENOTDIR) {
      error = wrong;
      call = step;
      which = path;
    }
  }
  fail_with(error, call, which);
  return NULL;
}

int do_find_program(const struct operation *op) {
  return find_program(op->exec.candidates) ? 0 : -1;
}

/* Returns only when no candidate could be executed; the failure is recorded. */
static int execute(struct list candidates, char **arguments, char **environment) {
  const char *path = find_program(candidates);
  if (!path)
    return -1;
  execve(path, arguments, environment);
  return fail("execve", path);
}

int do_exec(struct child *child, const struct operation *op) {
  if (settle(child) < 0 || be_born(child) < 0)
    return -1;
  char **arguments = pointers(op->exec.arguments), **environment = pointers(op->exec.environment);
  if (!arguments || !environment)
    return fail_with(ENOMEM, "mmap", "arguments");
  if (!child->filtered)
    follow_supervisor(child);
  if (op->exec.init && become_init(child, arguments) < 0)
    return -1;
  child->shared->stage = STAGE_EXECUTING;
  return execute(op->exec.candidates, arguments, environment);
}
