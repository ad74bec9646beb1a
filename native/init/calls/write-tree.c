#define _GNU_SOURCE
/*
 * Writes entries into a directory for the daemon, in a process of its own (one-call.c), because writing may wait for ever. The daemon has read
 * the archive and says what each entry is; the form of the frames is in packages/sys/src/host-files/tree-writer.ts.
 *
 * A running container can change its files meanwhile. So every path is resolved beneath the destination by the kernel (RESOLVE_BENEATH), and
 * attributes are set through a descriptor of the entry itself: a symlink that the container puts in its place is never followed.
 */
#include "../base/base.h"
#include "one-call.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

/* From the daemon. An entry begins with ENTRY; then come DATA, XATTR, and DONE. */
enum in_frame { IN_ENTRY = 1, IN_DATA, IN_XATTR, IN_DONE, IN_TIMES, IN_END };
/* To the daemon. TAKEN: so many bytes of frames have been read and written. */
enum out_frame { OUT_PLACE = 1, OUT_TAKEN, OUT_REFUSED, OUT_END, OUT_ERROR };
enum refusal { NO_OVERWRITE_DIRECTORY = 1, NO_OVERWRITE_OTHER, LEAVES_DESTINATION, CHANGED_MEANWHILE };

/* Flags of the request: an existing directory stays a directory, and everything else stays no directory. */
#define KEEP_KINDS 1u
/* Flag of an entry. */
#define HARD_LINK 1u

#define FRAME_HEAD (2 * sizeof(uint32_t))
#define PAYLOAD_LIMIT (160u << 10)
/* The daemon sends on when it knows that this much was taken; less than what it sends ahead. */
#define TAKEN_STEP (256u << 10)
/* The container moved directories while a path was resolved. */
#define RESOLVE_TRIES 64

struct in_entry {
  uint32_t mode, uid, gid, rdev_major, rdev_minor, flags, modified_ns, path_length;
  int64_t modified;
  uint64_t size;
};

static uint32_t options;
static int destination = -1;
static uint8_t input[2 * PAYLOAD_LIMIT];
static size_t input_at, input_used;
static uint64_t taken, reported;

static struct in_entry entry;
static char path[PATH_MAX], link_target[PATH_MAX];
/* The directory that was opened last, and its path. */
static int directory = -1;
static char directory_path[PATH_MAX];
/* The entry that is being written: `node` is its descriptor. */
static int node = -1;
static bool attributes_set;

static void put_frame(enum out_frame kind, const void *first, size_t first_length, const void *second, size_t second_length) {
  uint8_t out[FRAME_HEAD + 64 + PATH_MAX];
  uint32_t head[] = {(uint32_t)(first_length + second_length), kind};
  memcpy(out, head, sizeof head);
  memcpy(out + sizeof head, first, first_length);
  memcpy(out + sizeof head + first_length, second, second_length);
  for (size_t done = 0, all = sizeof head + first_length + second_length; done < all;) {
    ssize_t count = write(1, out + done, all - done);
    if (count <= 0 && errno != EINTR)
      _exit(1);
    if (count > 0)
      done += (size_t)count;
  }
}

_Noreturn static void stop(const char *call) {
  uint8_t facts[64];
  int32_t error = errno;
  size_t length = strlen(call) + 1;
  memcpy(facts, &error, sizeof error);
  memcpy(facts + sizeof error, call, length);
  put_frame(OUT_ERROR, facts, sizeof error + length, path, strlen(path));
  _exit(0);
}

_Noreturn static void refuse(enum refusal reason) {
  uint32_t number = reason;
  put_frame(OUT_REFUSED, &number, sizeof number, path, strlen(path));
  _exit(0);
}

static int open_in(int at, const char *name, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
  int fd = sys_openat2(at, name, &how);
  for (int tries = 0; fd < 0 && errno == EAGAIN && tries < RESOLVE_TRIES; tries++)
    fd = sys_openat2(at, name, &how);
  return fd;
}

static int open_beneath(const char *name, uint64_t flags) {
  int fd = open_in(destination, *name ? name : ".", flags, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
  if (fd < 0 && errno == EXDEV)
    refuse(LEAVES_DESTINATION);
  return fd;
}

/* The path of a descriptor in /proc: it leads to the same file, whatever its name belongs to now. */
static const char *path_of(int fd) {
  static char own[40];
  struct text text = {own, 0, sizeof own};
  text_add(&text, "/proc/self/fd/");
  text_add_number(&text, (uint64_t)fd, 1);
  return own;
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
        stop("mkdirat");
      fd = open_beneath(name, O_PATH | O_DIRECTORY);
    }
    if (fd < 0)
      stop("openat2");
    close_fd(&above);
    *end = kept;
    if (kept == 0)
      return fd;
    above = fd;
  }
}

/* Opens the directory of `path`, and returns the name in it. */
static const char *enter_directory(void) {
  static char above[PATH_MAX];
  const char *slash = strrchr(path, '/');
  size_t length = slash ? (size_t)(slash - path) : 0;
  memcpy(above, path, length);
  above[length] = 0;
  if (directory < 0 || strcmp(above, directory_path) != 0) {
    close_fd(&directory);
    directory = open_beneath(above, O_PATH | O_DIRECTORY);
    if (directory < 0 && errno != ENOENT)
      stop("openat2");
    if (directory < 0)
      directory = make_directories(above);
    strcpy(directory_path, above);
  }
  return slash ? slash + 1 : path;
}

/* Removes what has the entry's name, unless both are directories. True when a directory stays. */
static bool make_room(const char *name) {
  struct stat about;
  if (fstatat(directory, name, &about, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno != ENOENT)
      stop("fstatat");
    return false;
  }
  bool is_directory = S_ISDIR(about.st_mode), wanted = S_ISDIR(entry.mode) && !(entry.flags & HARD_LINK);
  if (is_directory && wanted)
    return true;
  if (options & KEEP_KINDS && is_directory)
    refuse(NO_OVERWRITE_DIRECTORY);
  if (options & KEEP_KINDS && wanted)
    refuse(NO_OVERWRITE_OTHER);
  if (remove_at(directory, name) < 0)
    stop("unlinkat");
  return false;
}

static void make_hard_link(const char *name) {
  int target = open_beneath(link_target, O_PATH | O_NOFOLLOW);
  struct stat of_target, of_name;
  if (target < 0 || fstat(target, &of_target) < 0)
    stop("openat2");
  /* To itself: it is there already. Removing it would lose it. */
  if (fstatat(directory, name, &of_name, AT_SYMLINK_NOFOLLOW) == 0 && of_name.st_ino == of_target.st_ino && of_name.st_dev == of_target.st_dev) {
    close_fd(&target);
    return;
  }
  make_room(name);
  if (linkat(target, "", directory, name, AT_EMPTY_PATH) < 0)
    stop("linkat");
  close_fd(&target);
}

static void open_node(const char *name) {
  struct stat about;
  node = open_in(directory, name, O_PATH | O_NOFOLLOW, 0, 0);
  if (node < 0)
    stop("openat2");
  if (fstat(node, &about) < 0)
    stop("fstat");
  if ((about.st_mode & S_IFMT) != (entry.mode & S_IFMT))
    refuse(CHANGED_MEANWHILE);
}

static void begin_entry(void) {
  const char *name = enter_directory();
  attributes_set = false;
  if (entry.flags & HARD_LINK) {
    make_hard_link(name);
    return;
  }
  bool stays = make_room(name);
  switch (entry.mode & S_IFMT) {
  case S_IFREG:
    node = open_in(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, 0);
    if (node < 0)
      stop("openat2");
    return;
  case S_IFDIR:
    if (!stays && mkdirat(directory, name, 0700) < 0)
      stop("mkdirat");
    break;
  case S_IFLNK:
    if (symlinkat(link_target, directory, name) < 0)
      stop("symlinkat");
    break;
  default:
    if (mknodat(directory, name, (entry.mode & S_IFMT) | 0600, makedev(entry.rdev_major, entry.rdev_minor)) < 0)
      stop("mknodat");
  }
  open_node(name);
}

static void write_data(const uint8_t *bytes, size_t length) {
  uint64_t offset;
  if (node < 0 || length < sizeof offset)
    _exit(1);
  memcpy(&offset, bytes, sizeof offset);
  bytes += sizeof offset;
  length -= sizeof offset;
  for (size_t done = 0; done < length;) {
    ssize_t count = pwrite(node, bytes + done, length - done, (off_t)(offset + done));
    if (count < 0 && errno != EINTR)
      stop("pwrite");
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
    stop("ftruncate");
  if (fchownat(node, "", entry.uid, entry.gid, AT_EMPTY_PATH) < 0)
    stop("fchownat");
  if (!S_ISLNK(entry.mode) && chmod(path_of(node), entry.mode & 07777) < 0)
    stop("chmod");
}

/* The name, a zero byte, the value. A file system without this kind of xattr is no error. */
static void set_xattr(const char *text, size_t length) {
  set_attributes();
  size_t end = strnlen(text, length);
  if (end == length)
    _exit(1);
  if (node >= 0 && setxattr(path_of(node), text, text + end + 1, length - end - 1, 0) < 0 && errno != ENOTSUP && errno != EPERM)
    stop("setxattr");
}

static void set_times(int fd) {
  struct timespec time = {.tv_sec = entry.modified, .tv_nsec = entry.modified_ns};
  struct timespec times[] = {time, time};
  if (S_ISLNK(entry.mode) ? utimensat(fd, "", times, AT_EMPTY_PATH) < 0 && errno != EINVAL : utimensat(AT_FDCWD, path_of(fd), times, 0) < 0)
    stop("utimensat");
}

static void end_entry(void) {
  set_attributes();
  if (node >= 0 && !S_ISDIR(entry.mode))
    set_times(node);
  close_fd(&node);
}

/* A directory's time, when nothing is written into it any more. Another entry may have replaced it. */
static void set_directory_times(void) {
  int fd = open_beneath(path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  if (fd >= 0)
    set_times(fd);
  else if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
    stop("openat2");
  close_fd(&fd);
}

/* Reads until `count` bytes are there. False at the end of the input. */
static bool need(size_t count) {
  if (input_used - input_at >= count)
    return true;
  memmove(input, input + input_at, input_used - input_at);
  input_used -= input_at;
  input_at = 0;
  while (input_used < count) {
    ssize_t got = read(0, input + input_used, sizeof input - input_used);
    if (got == 0 || (got < 0 && errno != EINTR))
      return false;
    if (got > 0)
      input_used += (size_t)got;
  }
  return true;
}

static void take_text(char *to, const uint8_t *from, size_t length) {
  if (length >= PATH_MAX || memchr(from, 0, length))
    _exit(1);
  memcpy(to, from, length);
  to[length] = 0;
}

static void take_entry(const uint8_t *bytes, size_t length) {
  if (length < sizeof entry)
    _exit(1);
  memcpy(&entry, bytes, sizeof entry);
  if (entry.path_length > length - sizeof entry)
    _exit(1);
  take_text(path, bytes + sizeof entry, entry.path_length);
  take_text(link_target, bytes + sizeof entry + entry.path_length, length - sizeof entry - entry.path_length);
}

/* False at the end. */
static bool take_frame(void) {
  uint32_t head[2];
  if (!need(sizeof head))
    _exit(1);
  memcpy(head, input + input_at, sizeof head);
  if (head[0] > PAYLOAD_LIMIT || !need(sizeof head + head[0]))
    _exit(1);
  const uint8_t *bytes = input + input_at + sizeof head;
  switch (head[1]) {
  case IN_ENTRY:
    take_entry(bytes, head[0]);
    begin_entry();
    break;
  case IN_DATA:
    write_data(bytes, head[0]);
    break;
  case IN_XATTR:
    set_xattr((const char *)bytes, head[0]);
    break;
  case IN_DONE:
    end_entry();
    break;
  case IN_TIMES:
    take_entry(bytes, head[0]);
    set_directory_times();
    break;
  case IN_END:
    return false;
  default:
    _exit(1);
  }
  input_at += sizeof head + head[0];
  taken += sizeof head + head[0];
  return true;
}

static uint64_t mount_of(int fd) {
  struct {
    uint32_t words[36];
    uint64_t mount, further[14];
  } facts;
  /* STATX_MNT_ID, at byte 144 of struct statx */
  return syscall(SYS_statx, fd, "", AT_EMPTY_PATH, 0x1000, &facts) < 0 ? 0 : facts.mount;
}

static void report_place(int root) {
  struct stat about;
  struct statvfs file_system;
  if (fstat(destination, &about) < 0)
    stop("fstat");
  if (fstatvfs(destination, &file_system) < 0)
    stop("fstatvfs");
  uint32_t facts[] = {S_ISDIR(about.st_mode), (file_system.f_flag & ST_RDONLY) != 0, mount_of(root) == mount_of(destination)};
  put_frame(OUT_PLACE, facts, sizeof facts, "", 0);
}

/* Arguments: a root path (relative paths start at descriptor 3), the destination inside that root, and options as a number. */
int call_write_tree(char **arguments) {
  options = (uint32_t)strtoul(arguments[2], NULL, 10);
  int root = open_in(3, arguments[0], O_PATH | O_DIRECTORY, 0, 0);
  if (root < 0)
    stop("openat2");
  destination = open_in(root, arguments[1], O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (destination < 0)
    stop("openat2");
  report_place(root);
  while (take_frame()) {
    if (taken - reported < TAKEN_STEP)
      continue;
    reported = taken;
    put_frame(OUT_TAKEN, &taken, sizeof taken, "", 0);
  }
  put_frame(OUT_END, "", 0, "", 0);
  return 0;
}
