/* Descriptors: open, read, write, and facts about a descriptor. */
#include "addon.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* open(path, flags, mode) */
static napi_value method_open(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  path_buffer path;
  uint32_t flags, mode;
  CHECK(get_path(env, argv[0], &path));
  CHECK(get_flags(env, argv[1], &flags));
  CHECK(get_flags(env, argv[2], &mode));
  return give_result(env, RETRY(open(path.bytes, (int)flags | O_CLOEXEC, mode)));
}

/* openat2(dirFd, path, flags, mode, resolve) */
static napi_value method_openat2(napi_env env, napi_callback_info info) {
  ARGUMENTS(5);
  int directory;
  path_buffer path;
  uint32_t flags, mode, resolve;
  CHECK(get_int(env, argv[0], &directory));
  CHECK(get_path(env, argv[1], &path));
  CHECK(get_flags(env, argv[2], &flags));
  CHECK(get_flags(env, argv[3], &mode));
  CHECK(get_flags(env, argv[4], &resolve));
  struct fathom_open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
  /* EAGAIN: a rename or mount elsewhere happened during a lookup with a limited scope; the manual says to try again. The number of tries is
   * limited, because an attacker could cause this again and again. */
  int64_t result;
  for (int attempt = 0; attempt < 128; attempt++) {
    result = syscall(SYS_openat2, directory, path.bytes, &how, sizeof how);
    if (result >= 0 || (errno != EAGAIN && errno != EINTR)) break;
    if (errno == EAGAIN && (resolve == 0 || (flags & O_NONBLOCK))) break;
  }
  return give_result(env, result);
}

static napi_value method_close(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  int fd;
  CHECK(get_int(env, argv[0], &fd));
  int result = close(fd);
  /* Linux has closed the descriptor even when close returns an error. */
  if (result < 0 && errno == EINTR) result = 0;
  return give_result(env, result);
}

static napi_value method_dup(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  int fd;
  CHECK(get_int(env, argv[0], &fd));
  return give_result(env, fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

static napi_value method_read(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int fd;
  byte_view buffer;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_bytes(env, argv[1], &buffer));
  return give_result(env, RETRY(read(fd, buffer.data, buffer.length)));
}

static napi_value method_write(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int fd;
  byte_view data;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_bytes(env, argv[1], &data));
  return give_result(env, RETRY(write(fd, data.data, data.length)));
}

/* pread(fd, buffer, offset: bigint) */
static napi_value method_pread(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int fd;
  byte_view buffer;
  int64_t offset;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_bytes(env, argv[1], &buffer));
  CHECK(get_bigint(env, argv[2], &offset));
  return give_result(env, RETRY(pread(fd, buffer.data, buffer.length, offset)));
}

static napi_value method_pwrite(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int fd;
  byte_view data;
  int64_t offset;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_bytes(env, argv[1], &data));
  CHECK(get_bigint(env, argv[2], &offset));
  return give_result(env, RETRY(pwrite(fd, data.data, data.length, offset)));
}

/* lseek(fd, offset, whence): also SEEK_DATA and SEEK_HOLE */
static napi_value method_lseek(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int fd, whence;
  int64_t offset;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_bigint(env, argv[1], &offset));
  CHECK(get_int(env, argv[2], &whence));
  return give_result(env, lseek(fd, offset, whence));
}

static napi_value method_ftruncate(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int fd;
  int64_t size;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_bigint(env, argv[1], &size));
  return give_result(env, RETRY(ftruncate(fd, size)));
}

static napi_value method_fchmod(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int fd;
  uint32_t mode;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_flags(env, argv[1], &mode));
  return give_result(env, fchmod(fd, mode));
}

/* flock(fd, operation) */
static napi_value method_flock(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int fd, operation;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_int(env, argv[1], &operation));
  return give_result(env, RETRY(flock(fd, operation | LOCK_NB)));
}

static napi_value method_setNonBlocking(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int fd, on;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_int(env, argv[1], &on));
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return give(env, -errno);
  return give_result(env, fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

/* pipe(flags, out: Int32Array(2)) */
static napi_value method_pipe(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  uint32_t flags;
  byte_view out;
  CHECK(get_flags(env, argv[0], &flags));
  CHECK(get_bytes(env, argv[1], &out));
  if (out.length < 2 * sizeof(int)) return give(env, -EINVAL);
  return give_result(env, pipe2((int *)(void *)out.data, (int)flags | O_CLOEXEC));
}

/* getdents(fd, buffer): raw linux_dirent64 records; 0 at the end. `rewind` starts again from the first record. */
static napi_value method_getdents(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int fd, rewind;
  byte_view buffer;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_bytes(env, argv[1], &buffer));
  CHECK(get_int(env, argv[2], &rewind));
  if (rewind && lseek(fd, 0, SEEK_SET) < 0) return give(env, -errno);
  return give_result(env, RETRY(syscall(SYS_getdents64, fd, buffer.data, buffer.length)));
}

/* statfs(path, out: BigInt64Array(5)): type, block size, blocks, free blocks, blocks free to users. */
static napi_value method_statfs(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  path_buffer path;
  byte_view out;
  CHECK(get_path(env, argv[0], &path));
  CHECK(get_bytes(env, argv[1], &out));
  if (out.length < 5 * sizeof(int64_t)) return give(env, -EINVAL);
  struct statfs found;
  if (RETRY(statfs(path.bytes, &found)) < 0) return give(env, -errno);
  int64_t values[5] = {found.f_type, found.f_bsize, (int64_t)found.f_blocks, (int64_t)found.f_bfree, (int64_t)found.f_bavail};
  memcpy(out.data, values, sizeof values);
  return give(env, 0);
}

/* memfdCreate(name, data, seal): an executable memfd that holds `data`, at position 0. */
static napi_value method_memfdCreate(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  path_buffer name;
  byte_view data;
  int seal;
  CHECK(get_path(env, argv[0], &name));
  CHECK(get_bytes(env, argv[1], &data));
  CHECK(get_int(env, argv[2], &seal));
  uint32_t flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  int fd = memfd_create(name.bytes, flags | FATHOM_MFD_EXEC);
  /* Kernels before 6.3 do not know MFD_EXEC; on them every memfd is executable. */
  if (fd < 0 && errno == EINVAL) fd = memfd_create(name.bytes, flags);
  if (fd < 0) return give(env, -errno);
  size_t written = 0;
  while (written < data.length) {
    int64_t step = RETRY(pwrite(fd, data.data + written, data.length - written, (off_t)written));
    if (step <= 0) {
      int error = step < 0 ? errno : ENOSPC;
      close(fd);
      return give(env, -error);
    }
    written += (size_t)step;
  }
  if (seal) {
    int seals = FATHOM_F_SEAL_SEAL | FATHOM_F_SEAL_SHRINK | FATHOM_F_SEAL_GROW | FATHOM_F_SEAL_WRITE;
    if (fcntl(fd, F_ADD_SEALS, seals) < 0) {
      int error = errno;
      close(fd);
      return give(env, -error);
    }
  }
  return give(env, fd);
}

/* umask is one value for the whole process; that is the kernel's rule. */
static napi_value method_umask(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  uint32_t mask;
  CHECK(get_flags(env, argv[0], &mask));
  return give(env, umask(mask));
}

const struct method file_methods[] = {
    {"open", method_open},
    {"openat2", method_openat2},
    {"close", method_close},
    {"dup", method_dup},
    {"read", method_read},
    {"write", method_write},
    {"pread", method_pread},
    {"pwrite", method_pwrite},
    {"lseek", method_lseek},
    {"ftruncate", method_ftruncate},
    {"fchmod", method_fchmod},
    {"flock", method_flock},
    {"setNonBlocking", method_setNonBlocking},
    {"pipe", method_pipe},
    {"getdents", method_getdents},
    {"statfs", method_statfs},
    {"memfdCreate", method_memfdCreate},
    {"umask", method_umask},
    {NULL, NULL},
};
