#define _GNU_SOURCE
#include "../child/child.h"

#include <dirent.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#define DEPTH_LIMIT 256

static int copy_owner(int directory, const char *name, const struct stat *about) {
  if (fchownat(directory, name, about->st_uid, about->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
    return -1;
  if (!S_ISLNK(about->st_mode) && fchmodat(directory, name, about->st_mode & 07777, 0) < 0)
    return -1;
  struct timespec times[2] = {about->st_atim, about->st_mtim};
  return utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW);
}

static int copy_file(int from, int to, const char *name) {
  int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  ssize_t sent = in < 0 || out < 0 ? -1 : 1;
  while (sent > 0)
    sent = sendfile(out, in, NULL, 1 << 20);
  close_fd(&in);
  close_fd(&out);
  return (int)sent;
}

static int copy_entry(int from, int to, const char *name, unsigned depth) {
  struct stat about;
  if (fstatat(from, name, &about, AT_SYMLINK_NOFOLLOW) < 0)
    return -1;
  int done = -1;
  if (S_ISDIR(about.st_mode)) {
    if (mkdirat(to, name, 0700) < 0)
      return -1;
    int below = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int beside = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    done = below < 0 || beside < 0 ? -1 : copy_tree(below, beside, depth + 1);
    close_fd(&below);
    close_fd(&beside);
  } else if (S_ISLNK(about.st_mode)) {
    char target[4096];
    ssize_t length = readlinkat(from, name, target, sizeof target - 1);
    if (length < 0)
      return -1;
    target[length] = 0;
    done = symlinkat(target, to, name);
  } else if (S_ISREG(about.st_mode)) {
    done = copy_file(from, to, name);
  } else {
    done = mknodat(to, name, about.st_mode, about.st_rdev);
  }
  return done < 0 ? -1 : copy_owner(to, name, &about);
}

int copy_tree(int from, int to, unsigned depth) {
  if (depth > DEPTH_LIMIT) {
    errno = ELOOP;
    return -1;
  }
  struct stat about;
  char entries[4096] __attribute__((aligned(8)));
  if (fstat(from, &about) < 0 || fchown(to, about.st_uid, about.st_gid) < 0 || fchmod(to, about.st_mode & 07777) < 0)
    return -1;
  for (long length; (length = syscall(SYS_getdents64, from, entries, sizeof entries)) != 0;) {
    if (length < 0)
      return -1;
    for (long at = 0; at < length;) {
      struct dirent *entry = (struct dirent *)(entries + at);
      at += entry->d_reclen;
      if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") && copy_entry(from, to, entry->d_name, depth) < 0)
        return -1;
    }
  }
  return 0;
}
