#define _GNU_SOURCE
/*
 * Entries of write-tree.c. A running container can change its files meanwhile. So every path is resolved beneath the destination by the kernel
 * (RESOLVE_BENEATH), and attributes are set through a descriptor of the entry itself: a symlink that the container puts in its place is never
 * followed.
 */
#include "written-entry.h"
#include "one-call.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

/* The container moved directories while a path was resolved. */
#define RESOLVE_TRIES 64

uint32_t write_options;
int destination = -1;
struct in_entry entry;
char entry_name[PATH_MAX], link_target[PATH_MAX];
/* The directory that was opened last, and its path. */
static int directory = -1;
static char directory_path[PATH_MAX];
/* The entry that is being written: `node` is its descriptor. */
static int node = -1;
static bool attributes_set;

int open_resolved(int at, const char *name, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
  int fd = sys_openat2(at, name, &how);
  for (int tries = 0; fd < 0 && errno == EAGAIN && tries < RESOLVE_TRIES; tries++)
    fd = sys_openat2(at, name, &how);
  return fd;
}

static int open_beneath(const char *name, uint64_t flags) {
  int fd = open_resolved(destination, *name ? name : ".", flags, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
  if (fd < 0 && errno == EXDEV)
    refuse_entry(LEAVES_DESTINATION);
  return fd;
}

/* Opens a directory beneath the destination, and makes what is missing of it. */
static int make_directories(char *name) {
  int above = -1, fd = -1;
  for (char *end = name;; end++) {
    if (*end != '/' && *end != 0)
      continue;
    char kept = *end;
    *end = 0;
    const char *last = strrchr(name, '/');
    fd = open_beneath(name, O_PATH | O_DIRECTORY);
    if (fd < 0 && errno == ENOENT) {
      if (mkdirat(above < 0 ? destination : above, last ? last + 1 : name, 0755) < 0 && errno != EEXIST)
        stop_writing("mkdirat");
      fd = open_beneath(name, O_PATH | O_DIRECTORY);
    }
    if (fd < 0)
      stop_writing("openat2");
    close_fd(&above);
    *end = kept;
    if (kept == 0)
      return fd;
    above = fd;
  }
}

/* Opens the directory of the entry's path, and returns the name in it. */
static const char *enter_directory(void) {
  static char above[PATH_MAX];
  const char *slash = strrchr(entry_name, '/');
  size_t length = slash ? (size_t)(slash - entry_name) : 0;
  memcpy(above, entry_name, length);
  above[length] = 0;
  if (directory < 0 || strcmp(above, directory_path) != 0) {
    close_fd(&directory);
    directory = open_beneath(above, O_PATH | O_DIRECTORY);
    if (directory < 0 && errno != ENOENT)
      stop_writing("openat2");
    if (directory < 0)
      directory = make_directories(above);
    strcpy(directory_path, above);
  }
  return slash ? slash + 1 : entry_name;
}

/* Removes what has the entry's name, unless both are directories. True when a directory stays. */
static bool make_room(const char *name) {
  struct stat about;
  if (fstatat(directory, name, &about, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno != ENOENT)
      stop_writing("fstatat");
    return false;
  }
  bool is_directory = S_ISDIR(about.st_mode), wanted = S_ISDIR(entry.mode) && !(entry.flags & HARD_LINK);
  if (is_directory && wanted)
    return true;
  if (write_options & KEEP_KINDS && is_directory)
    refuse_entry(NO_OVERWRITE_DIRECTORY);
  if (write_options & KEEP_KINDS && wanted)
    refuse_entry(NO_OVERWRITE_OTHER);
  if (remove_at(directory, name) < 0)
    stop_writing("unlinkat");
  return false;
}

static void make_hard_link(const char *name) {
  int target = open_beneath(link_target, O_PATH | O_NOFOLLOW);
  struct stat of_target, of_name;
  if (target < 0 || fstat(target, &of_target) < 0)
    stop_writing("openat2");
  /* To itself: it is there already. Removing it would lose it. */
  if (fstatat(directory, name, &of_name, AT_SYMLINK_NOFOLLOW) == 0 && of_name.st_ino == of_target.st_ino && of_name.st_dev == of_target.st_dev) {
    close_fd(&target);
    return;
  }
  make_room(name);
  if (linkat(target, "", directory, name, AT_EMPTY_PATH) < 0)
    stop_writing("linkat");
  close_fd(&target);
}

static void open_node(const char *name) {
  struct stat about;
  node = open_resolved(directory, name, O_PATH | O_NOFOLLOW, 0, 0);
  if (node < 0)
    stop_writing("openat2");
  if (fstat(node, &about) < 0)
    stop_writing("fstat");
  if ((about.st_mode & S_IFMT) != (entry.mode & S_IFMT))
    refuse_entry(CHANGED_MEANWHILE);
}

void begin_entry(void) {
  const char *name = enter_directory();
  attributes_set = false;
  if (entry.flags & HARD_LINK) {
    make_hard_link(name);
    return;
  }
  bool stays = make_room(name);
  switch (entry.mode & S_IFMT) {
  case S_IFREG:
    node = open_resolved(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, 0);
    if (node < 0)
      stop_writing("openat2");
    return;
  case S_IFDIR:
    if (!stays && mkdirat(directory, name, 0700) < 0)
      stop_writing("mkdirat");
    break;
  case S_IFLNK:
    if (symlinkat(link_target, directory, name) < 0)
      stop_writing("symlinkat");
    break;
  default:
    if (mknodat(directory, name, (entry.mode & S_IFMT) | 0600, makedev(entry.rdev_major, entry.rdev_minor)) < 0)
      stop_writing("mknodat");
  }
  open_node(name);
}

void write_data(uint64_t offset, const uint8_t *bytes, size_t length) {
  if (node < 0)
    _exit(1);
  for (size_t done = 0; done < length;) {
    ssize_t count = pwrite(node, bytes + done, length - done, (off_t)(offset + done));
    if (count < 0 && errno != EINTR)
      stop_writing("pwrite");
    if (count > 0)
      done += (size_t)count;
  }
}

/* The owner first: a change of the owner removes setuid bits and capabilities. */
static void set_attributes(void) {
  if (attributes_set || node < 0)
    return;
  attributes_set = true;
  if (S_ISREG(entry.mode) && ftruncate(node, (off_t)entry.size) < 0)
    stop_writing("ftruncate");
  if (fchownat(node, "", entry.uid, entry.gid, AT_EMPTY_PATH) < 0)
    stop_writing("fchownat");
  if (!S_ISLNK(entry.mode) && chmod(path_of_descriptor(node), entry.mode & 07777) < 0)
    stop_writing("chmod");
}

/* A file system without this kind of xattr is no error. */
void set_xattr(const char *name, const char *value, size_t length) {
  set_attributes();
  if (node >= 0 && setxattr(path_of_descriptor(node), name, value, length, 0) < 0 && errno != ENOTSUP && errno != EPERM)
    stop_writing("setxattr");
}

static void set_times(int fd) {
  struct timespec time = {.tv_sec = entry.modified, .tv_nsec = entry.modified_ns};
  struct timespec times[] = {time, time};
  if (S_ISLNK(entry.mode) ? utimensat(fd, "", times, AT_EMPTY_PATH) < 0 && errno != EINVAL : utimensat(AT_FDCWD, path_of_descriptor(fd), times, 0) < 0)
    stop_writing("utimensat");
}

void end_entry(void) {
  set_attributes();
  if (node >= 0 && !S_ISDIR(entry.mode))
    set_times(node);
  close_fd(&node);
}

/* Another entry may have replaced it. */
void set_directory_times(void) {
  int fd = open_beneath(entry_name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  if (fd >= 0)
    set_times(fd);
  else if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
    stop_writing("openat2");
  close_fd(&fd);
}
