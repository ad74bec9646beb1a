#define _GNU_SOURCE
/*
 * Makes one call that may wait for ever (a network file system whose server does not answer), in a process of its own, so that its caller can
 * stop waiting.
 * `fathom-init call NAME` reads the arguments from its input, each ended by a zero byte (a mount's options may contain a password, which must
 * not be visible in a list of processes). It prints the errno (0 on success) and the result of the call. It ends with its caller.
 */
#include "../base/base.h"
#include "one-call.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef RESOLVE_NO_XDEV
#define RESOLVE_NO_XDEV 0x01
#endif
#ifndef RESOLVE_NO_SYMLINKS
#define RESOLVE_NO_SYMLINKS 0x04
#endif

/* A removal holds this many directories open at a time; deeper ones are moved up first. */
#define DEPTH_LIMIT 100
#define ARGUMENTS_LIMIT 5
/* Three paths and a page of options. */
#define INPUT_LIMIT (5 * PATH_MAX)

static int answer(int error, const char *text) {
  char line[PATH_MAX + 32];
  struct text out = {line, 0, sizeof line};
  text_add_number(&out, (uint64_t)error, 1);
  text_add(&out, " ");
  text_add(&out, text);
  text_add(&out, "\n");
  return write(1, line, out.used) < 0;
}

static int open_in(int directory, const char *path, uint64_t flags, uint64_t resolve) {
  struct open_how how = {.flags = flags, .resolve = resolve};
  return (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
}

static int call_stat(char **arguments) {
  struct stat about;
  return stat(arguments[0], &about) < 0 ? answer(errno, "") : answer(0, S_ISDIR(about.st_mode) ? "directory" : "other");
}

/* Also makes the directories above it. Existing directories stay unchanged. */
static int call_make_directories(char **arguments) {
  char *path = arguments[0];
  struct stat about;
  for (char *at = path + 1;; at++) {
    if (*at != '/' && *at != 0)
      continue;
    char end = *at;
    *at = 0;
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
      return answer(errno, "");
    *at = end;
    if (end == 0)
      break;
  }
  return stat(path, &about) < 0 ? answer(errno, "") : answer(S_ISDIR(about.st_mode) ? 0 : ENOTDIR, "");
}

static int call_real_path(char **arguments) {
  char path[PATH_MAX];
  return realpath(arguments[0], path) ? answer(0, path) : answer(errno, "");
}

/* Checks that a path below a directory exists and stays inside the directory. */
static int call_beneath(char **arguments) {
  int base = open_in(AT_FDCWD, arguments[0], O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (base < 0)
    return answer(errno, "");
  return answer(open_in(base, arguments[1], O_PATH | O_CLOEXEC, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS) < 0 ? errno : 0, "");
}

static int call_mount(char **arguments) {
  unsigned long flags = strtoul(arguments[3], NULL, 10);
  return answer(mount(arguments[0], arguments[1], arguments[2], flags, arguments[4]) < 0 ? errno : 0, "");
}

static int call_unmount(char **arguments) {
  return answer(umount2(arguments[0], MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? errno : 0, "");
}

static int call_sync(char **arguments) {
  int fd = open(arguments[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return answer(fd < 0 || syncfs(fd) < 0 ? errno : 0, "");
}

static int remove_error;

static void failed(void) {
  if (!remove_error && errno != ENOENT)
    remove_error = errno;
}

/* Moves a deep directory to the top, under a name that nothing has. */
static bool move_up(int top, int directory, const char *name) {
  static unsigned number;
  char to[64];
  struct text text = {to, 0, sizeof to};
  text_add(&text, ".fathom-removing-");
  text_add_number(&text, (uint64_t)getpid(), 1);
  text_add(&text, "-");
  text_add_number(&text, number++, 1);
  return renameat(directory, name, top, to) == 0;
}

static bool empty_directory(int top, int directory, unsigned depth);

/* True when a directory was moved to the top. */
static bool remove_entry(int top, int directory, const struct entry *entry, unsigned depth) {
  const char *name = entry->name;
  if (!strcmp(name, ".") || !strcmp(name, ".."))
    return false;
  if (entry->type != DT_DIR) {
    if (unlinkat(directory, name, 0) == 0)
      return false;
    /* On some file systems, directory entries have no type. */
    if (errno != EISDIR) {
      failed();
      return false;
    }
  }
  if (depth >= DEPTH_LIMIT && move_up(top, directory, name))
    return true;
  int below = open_in(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
  if (below < 0) {
    failed();
    return false;
  }
  bool moved = empty_directory(top, below, depth + 1);
  close_fd(&below);
  if (unlinkat(directory, name, AT_REMOVEDIR) < 0)
    failed();
  return moved;
}

/* Never follows a link, never enters another mount. True when a directory was moved to the top. */
static bool empty_directory(int top, int directory, unsigned depth) {
  _Alignas(struct entry) char buffer[4096];
  bool moved = false;
  for (long count; (count = syscall(SYS_getdents64, directory, buffer, sizeof buffer)) != 0;) {
    if (count < 0) {
      failed();
      break;
    }
    for (long at = 0; at < count; at += ((struct entry *)(void *)(buffer + at))->length)
      moved |= remove_entry(top, directory, (const struct entry *)(const void *)(buffer + at), depth);
  }
  return moved;
}

/* Removes a tree, or one file. What cannot be removed stays; the rest is removed. */
static int call_remove(char **arguments) {
  const char *path = arguments[0];
  if (unlink(path) == 0 || errno == ENOENT)
    return answer(0, "");
  if (errno != EISDIR && errno != EPERM)
    return answer(errno, "");
  for (bool again = true; again;) {
    int top = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (top < 0)
      return answer(errno == ENOTDIR ? EPERM : errno, "");
    remove_error = 0;
    again = empty_directory(top, top, 0) && !remove_error;
    close_fd(&top);
  }
  if (!remove_error && rmdir(path) < 0)
    failed();
  return answer(remove_error, "");
}

int remove_at(int directory, const char *name) {
  if (unlinkat(directory, name, 0) == 0 || errno == ENOENT)
    return 0;
  if (errno != EISDIR && errno != EPERM)
    return -1;
  for (bool again = true; again;) {
    int top = open_in(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
    if (top < 0)
      return -1;
    remove_error = 0;
    again = empty_directory(top, top, 0) && !remove_error;
    close_fd(&top);
  }
  errno = remove_error;
  return remove_error ? -1 : unlinkat(directory, name, AT_REMOVEDIR);
}

static int call_probe(char **arguments) {
  (void)arguments;
  char said[2048];
  struct text text = {said, 0, sizeof said};
  probe(&text);
  return answer(0, said);
}

static const struct {
  const char *name;
  int arguments;
  int (*run)(char **arguments);
} calls[] = {
    {"stat", 1, call_stat},       {"make-directories", 1, call_make_directories}, {"real-path", 1, call_real_path}, {"beneath", 2, call_beneath}, {"mount", 5, call_mount},
    {"unmount", 1, call_unmount}, {"sync", 1, call_sync},                         {"remove", 1, call_remove},
    {"probe", 0, call_probe},     {"read-tree", 3, call_read_tree},                         {"write-tree", 3, call_write_tree},
};

bool wants_one_call(int argc, char **argv) {
  return argc == 3 && !strcmp(argv[1], "call");
}

/* Reads as many arguments as the call needs; input after them is for the call itself. */
static bool read_arguments(char **arguments, int wanted) {
  static char input[INPUT_LIMIT];
  size_t used = 0, at = 0;
  while (wanted > 0) {
    ssize_t count = read(0, input + used, sizeof input - used);
    if (count <= 0)
      return false;
    used += (size_t)count;
    for (size_t length; wanted > 0 && (length = strnlen(input + at, used - at)) < used - at; at += length + 1, wanted--)
      *arguments++ = input + at;
  }
  return at == used;
}

int one_call(char **argv) {
  char *arguments[ARGUMENTS_LIMIT];
  /* If the caller has ended already, nobody needs the answer. */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
    return 1;
  umask(0022);
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    if (!strcmp(argv[2], calls[i].name))
      return read_arguments(arguments, calls[i].arguments) ? calls[i].run(arguments) : 1;
  }
  return 1;
}
