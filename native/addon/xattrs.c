/* Extended attributes of an entry inside a directory descriptor. When the entry is a symlink, the attributes are the symlink's own. */
#include "addon.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/xattr.h>

/* Room for "/proc/self/fd/N/" before a path. The kernel accepts at most PATH_LIMIT in all. */
typedef struct {
  char name[PATH_LIMIT + 32];
  bool descriptor;
} entry_name;

/*
 * The entry as a path for the l…xattr calls. /proc/self/fd/N leads into the directory, even when the directory has moved to another path. An
 * empty path means the descriptor itself (also an O_PATH descriptor); then the call must follow the link.
 */
static int name_entry(int directory, const path_buffer *path, entry_name *out) {
  out->descriptor = path->length == 0;
  if (path->length == 0 && directory == AT_FDCWD) return ENOENT;
  int length;
  if (path->length == 0) length = snprintf(out->name, sizeof out->name, "/proc/self/fd/%d", directory);
  else if (directory == AT_FDCWD || path->bytes[0] == '/') length = snprintf(out->name, sizeof out->name, "%s", path->bytes);
  else length = snprintf(out->name, sizeof out->name, "/proc/self/fd/%d/%s", directory, path->bytes);
  return length > PATH_LIMIT ? ENAMETOOLONG : 0;
}

/* setxattrat(dirFd, path, name, value) */
static napi_value method_setxattrat(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  int directory;
  path_buffer path, name;
  byte_view value;
  entry_name entry;
  CHECK(get_int(env, argv[0], &directory));
  CHECK(get_path(env, argv[1], &path));
  CHECK(get_path(env, argv[2], &name));
  CHECK(get_bytes(env, argv[3], &value));
  CHECK(name_entry(directory, &path, &entry));
  int result = entry.descriptor ? setxattr(entry.name, name.bytes, value.data, value.length, 0)
                                : lsetxattr(entry.name, name.bytes, value.data, value.length, 0);
  return give_result(env, result);
}

/* getxattrat(dirFd, path, name, buffer): bytes of the value */
static napi_value method_getxattrat(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  int directory;
  path_buffer path, name;
  byte_view buffer;
  entry_name entry;
  CHECK(get_int(env, argv[0], &directory));
  CHECK(get_path(env, argv[1], &path));
  CHECK(get_path(env, argv[2], &name));
  CHECK(get_bytes(env, argv[3], &buffer));
  CHECK(name_entry(directory, &path, &entry));
  int64_t result = entry.descriptor ? getxattr(entry.name, name.bytes, buffer.data, buffer.length)
                                    : lgetxattr(entry.name, name.bytes, buffer.data, buffer.length);
  return give_result(env, result);
}

/* listxattrat(dirFd, path, buffer): bytes of the names, each ended by NUL */
static napi_value method_listxattrat(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int directory;
  path_buffer path;
  byte_view buffer;
  entry_name entry;
  CHECK(get_int(env, argv[0], &directory));
  CHECK(get_path(env, argv[1], &path));
  CHECK(get_bytes(env, argv[2], &buffer));
  CHECK(name_entry(directory, &path, &entry));
  int64_t result = entry.descriptor ? listxattr(entry.name, (char *)buffer.data, buffer.length)
                                    : llistxattr(entry.name, (char *)buffer.data, buffer.length);
  return give_result(env, result);
}

/* removexattrat(dirFd, path, name) */
static napi_value method_removexattrat(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int directory;
  path_buffer path, name;
  entry_name entry;
  CHECK(get_int(env, argv[0], &directory));
  CHECK(get_path(env, argv[1], &path));
  CHECK(get_path(env, argv[2], &name));
  CHECK(name_entry(directory, &path, &entry));
  int result = entry.descriptor ? removexattr(entry.name, name.bytes) : lremovexattr(entry.name, name.bytes);
  return give_result(env, result);
}

const struct method xattr_methods[] = {
    {"setxattrat", method_setxattrat},
    {"getxattrat", method_getxattrat},
    {"listxattrat", method_listxattrat},
    {"removexattrat", method_removexattrat},
    {NULL, NULL},
};
