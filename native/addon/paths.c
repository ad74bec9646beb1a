/* Names inside a directory descriptor: make, link, remove, describe. No function follows a symlink in the last component. */
#include "addon.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* mkdirat(dirFd, path, mode) */
static napi_value method_mkdirat(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int directory;
  path_buffer path;
  uint32_t mode;
  CHECK(get_int(env, argv[0], &directory));
  CHECK(get_path(env, argv[1], &path));
  CHECK(get_flags(env, argv[2], &mode));
  return give_result(env, mkdirat(directory, path.bytes, mode));
}

/* mknodat(dirFd, path, mode, major, minor) */
static napi_value method_mknodat(napi_env env, napi_callback_info info) {
  ARGUMENTS(5);
  int directory;
  path_buffer path;
  uint32_t mode, major_number, minor_number;
  CHECK(get_int(env, argv[0], &directory));
  CHECK(get_path(env, argv[1], &path));
  CHECK(get_flags(env, argv[2], &mode));
  CHECK(get_flags(env, argv[3], &major_number));
  CHECK(get_flags(env, argv[4], &minor_number));
  return give_result(env, mknodat(directory, path.bytes, mode, makedev(major_number, minor_number)));
}

/* symlinkat(target, dirFd, path) */
static napi_value method_symlinkat(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  path_buffer target, path;
  int directory;
  CHECK(get_path(env, argv[0], &target));
  CHECK(get_int(env, argv[1], &directory));
  CHECK(get_path(env, argv[2], &path));
  return give_result(env, symlinkat(target.bytes, directory, path.bytes));
}

/* linkat(oldDirFd, oldPath, newDirFd, newPath, flags) */
static napi_value method_linkat(napi_env env, napi_callback_info info) {
  ARGUMENTS(5);
  int from, to, flags;
  path_buffer old_path, new_path;
  CHECK(get_int(env, argv[0], &from));
  CHECK(get_path(env, argv[1], &old_path));
  CHECK(get_int(env, argv[2], &to));
  CHECK(get_path(env, argv[3], &new_path));
  CHECK(get_int(env, argv[4], &flags));
  return give_result(env, linkat(from, old_path.bytes, to, new_path.bytes, flags));
}

/* renameat2(oldDirFd, oldPath, newDirFd, newPath, flags) */
static napi_value method_renameat2(napi_env env, napi_callback_info info) {
  ARGUMENTS(5);
  int from, to;
  uint32_t flags;
  path_buffer old_path, new_path;
  CHECK(get_int(env, argv[0], &from));
  CHECK(get_path(env, argv[1], &old_path));
  CHECK(get_int(env, argv[2], &to));
  CHECK(get_path(env, argv[3], &new_path));
  CHECK(get_flags(env, argv[4], &flags));
  return give_result(env, syscall(SYS_renameat2, from, old_path.bytes, to, new_path.bytes, flags));
}

/* unlinkat(dirFd, path, flags) */
static napi_value method_unlinkat(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int directory, flags;
  path_buffer path;
  CHECK(get_int(env, argv[0], &directory));
  CHECK(get_path(env, argv[1], &path));
  CHECK(get_int(env, argv[2], &flags));
  return give_result(env, unlinkat(directory, path.bytes, flags));
}

/* readlinkat(dirFd, path, buffer): bytes of the target. A target that fills the buffer may be cut, so that is ENAMETOOLONG. */
static napi_value method_readlinkat(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int directory;
  path_buffer path;
  byte_view buffer;
  CHECK(get_int(env, argv[0], &directory));
  CHECK(get_path(env, argv[1], &path));
  CHECK(get_bytes(env, argv[2], &buffer));
  int64_t length = readlinkat(directory, path.bytes, (char *)buffer.data, buffer.length);
  if (length >= 0 && (size_t)length == buffer.length) return give(env, -ENAMETOOLONG);
  return give_result(env, length);
}

/* chmod of the file behind an O_PATH descriptor, for kernels without fchmodat2. */
static int chmod_through_proc(int directory, const char *path, mode_t mode) {
  int fd = openat(directory, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -1;
  struct stat found;
  int result = fstat(fd, &found);
  if (result == 0 && S_ISLNK(found.st_mode)) {
    errno = EOPNOTSUPP;
    result = -1;
  }
  if (result == 0) {
    char name[32];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    result = chmod(name, mode);
  }
  int error = errno;
  close(fd);
  errno = error;
  return result;
}

/* fchmodat(dirFd, path, mode): EOPNOTSUPP for a symlink. */
static napi_value method_fchmodat(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int directory;
  path_buffer path;
  uint32_t mode;
  CHECK(get_int(env, argv[0], &directory));
  CHECK(get_path(env, argv[1], &path));
  CHECK(get_flags(env, argv[2], &mode));
  static atomic_bool lacks_fchmodat2;
  if (!atomic_load_explicit(&lacks_fchmodat2, memory_order_relaxed)) {
    int64_t result = syscall(SYS_fchmodat2, directory, path.bytes, mode, AT_SYMLINK_NOFOLLOW);
    if (result == 0 || errno != ENOSYS) return give_result(env, result);
    atomic_store_explicit(&lacks_fchmodat2, true, memory_order_relaxed);
  }
  return give_result(env, chmod_through_proc(directory, path.bytes, mode));
}

/* fchownat(dirFd, path, uid, gid); an empty path means the descriptor itself. */
static napi_value method_fchownat(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  int directory;
  path_buffer path;
  uint32_t uid, gid;
  CHECK(get_int(env, argv[0], &directory));
  CHECK(get_path(env, argv[1], &path));
  CHECK(get_flags(env, argv[2], &uid));
  CHECK(get_flags(env, argv[3], &gid));
  int flags = AT_SYMLINK_NOFOLLOW | (path.length == 0 ? AT_EMPTY_PATH : 0);
  return give_result(env, fchownat(directory, path.bytes, uid, gid, flags));
}

static struct timespec timespec_of(int64_t ns) {
  struct timespec time = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
  /* Also for times before 1970, the nanoseconds count forward. */
  if (time.tv_nsec < 0) {
    time.tv_nsec += 1000000000;
    time.tv_sec -= 1;
  }
  return time;
}

/* utimensat(dirFd, path, atimeNs: bigint, mtimeNs: bigint); an empty path means the descriptor itself. */
static napi_value method_utimensat(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  int directory;
  path_buffer path;
  int64_t atime, mtime;
  CHECK(get_int(env, argv[0], &directory));
  CHECK(get_path(env, argv[1], &path));
  CHECK(get_bigint(env, argv[2], &atime));
  CHECK(get_bigint(env, argv[3], &mtime));
  struct timespec times[2] = {timespec_of(atime), timespec_of(mtime)};
  /* With a null path, every kernel uses the descriptor itself; AT_EMPTY_PATH works for utimensat only since 5.8. */
  if (path.length == 0) return give_result(env, syscall(SYS_utimensat, directory, NULL, times, 0));
  return give_result(env, utimensat(directory, path.bytes, times, AT_SYMLINK_NOFOLLOW));
}

static int64_t nanoseconds_of(struct statx_timestamp time) {
  int64_t value;
  /* A file may have a time in the year 2262 or later. Such a time does not fit into 64 bits of nanoseconds. */
  if (__builtin_mul_overflow(time.tv_sec, 1000000000, &value) || __builtin_add_overflow(value, time.tv_nsec, &value))
    return time.tv_sec < 0 ? INT64_MIN : INT64_MAX;
  return value;
}

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif

/*
 * fstatat(dirFd, path, flags, out: BigInt64Array(14)): dev, ino, mode, nlink, uid, gid, rdev major, rdev minor, size, blocks, mtime, atime,
 * ctime, mount id.
 */
static napi_value method_fstatat(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  int directory, flags;
  path_buffer path;
  byte_view out;
  CHECK(get_int(env, argv[0], &directory));
  CHECK(get_path(env, argv[1], &path));
  CHECK(get_int(env, argv[2], &flags));
  CHECK(get_bytes(env, argv[3], &out));
  struct statx found;
  if (RETRY(statx(directory, path.bytes, flags, STATX_BASIC_STATS | STATX_MNT_ID, &found)) < 0) return give(env, -errno);
  int64_t values[14] = {
      (int64_t)makedev(found.stx_dev_major, found.stx_dev_minor),
      (int64_t)found.stx_ino,
      found.stx_mode,
      found.stx_nlink,
      found.stx_uid,
      found.stx_gid,
      found.stx_rdev_major,
      found.stx_rdev_minor,
      (int64_t)found.stx_size,
      (int64_t)found.stx_blocks,
      nanoseconds_of(found.stx_mtime),
      nanoseconds_of(found.stx_atime),
      nanoseconds_of(found.stx_ctime),
      found.stx_mask & STATX_MNT_ID ? (int64_t)found.stx_mnt_id : 0,
  };
  if (out.length < sizeof values) return give(env, -EINVAL);
  memcpy(out.data, values, sizeof values);
  return give(env, 0);
}

const struct method path_methods[] = {
    {"mkdirat", method_mkdirat},
    {"mknodat", method_mknodat},
    {"symlinkat", method_symlinkat},
    {"linkat", method_linkat},
    {"renameat2", method_renameat2},
    {"unlinkat", method_unlinkat},
    {"readlinkat", method_readlinkat},
    {"fchmodat", method_fchmodat},
    {"fchownat", method_fchownat},
    {"utimensat", method_utimensat},
    {"fstatat", method_fstatat},
    {NULL, NULL},
};
