/* Mounts: the descriptor-based calls, and mount(2) and umount2(2) for what needs them. */
#include "addon.h"

#include <sys/mount.h>

/* fsopen(type) */
static napi_value method_fsopen(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  path_buffer type;
  CHECK(get_path(env, argv[0], &type));
  const unsigned int cloexec = 1;
  return give_result(env, syscall(SYS_fsopen, type.bytes, cloexec));
}

/* fsconfig(fd, command, key, value, aux): null key or value where the command takes none. */
static napi_value method_fsconfig(napi_env env, napi_callback_info info) {
  ARGUMENTS(5);
  int fd, aux;
  uint32_t command;
  path_buffer key, value;
  napi_valuetype key_type, value_type;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_flags(env, argv[1], &command));
  napi_typeof(env, argv[2], &key_type);
  napi_typeof(env, argv[3], &value_type);
  if (key_type != napi_null) CHECK(get_path(env, argv[2], &key));
  if (value_type != napi_null) CHECK(get_path(env, argv[3], &value));
  CHECK(get_int(env, argv[4], &aux));
  return give_result(env, syscall(SYS_fsconfig, fd, command, key_type == napi_null ? NULL : key.bytes,
                                  value_type == napi_null ? NULL : value.bytes, aux));
}

/* fsmount(fd, attributes) */
static napi_value method_fsmount(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int fd;
  uint32_t attributes;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_flags(env, argv[1], &attributes));
  const unsigned int cloexec = 1;
  return give_result(env, syscall(SYS_fsmount, fd, cloexec, attributes));
}

/* openTree(dirFd, path, flags) */
static napi_value method_openTree(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int directory;
  path_buffer path;
  uint32_t flags;
  CHECK(get_int(env, argv[0], &directory));
  CHECK(get_path(env, argv[1], &path));
  CHECK(get_flags(env, argv[2], &flags));
  return give_result(env, syscall(SYS_open_tree, directory, path.bytes, flags));
}

/* moveMount(fromFd, toDirFd, toPath, flags) */
static napi_value method_moveMount(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  int from, to;
  path_buffer path;
  uint32_t flags;
  CHECK(get_int(env, argv[0], &from));
  CHECK(get_int(env, argv[1], &to));
  CHECK(get_path(env, argv[2], &path));
  CHECK(get_flags(env, argv[3], &flags));
  return give_result(env, syscall(SYS_move_mount, from, "", to, path.bytes, flags));
}

/* mount(source, target, type, flags, data) */
static napi_value method_mount(napi_env env, napi_callback_info info) {
  ARGUMENTS(5);
  path_buffer source, target, type, data;
  uint32_t flags;
  CHECK(get_path(env, argv[0], &source));
  CHECK(get_path(env, argv[1], &target));
  CHECK(get_path(env, argv[2], &type));
  CHECK(get_flags(env, argv[3], &flags));
  CHECK(get_path(env, argv[4], &data));
  return give_result(env, mount(source.bytes, target.bytes, type.length ? type.bytes : NULL, flags, data.length ? data.bytes : NULL));
}

/* umount(target, flags) */
static napi_value method_umount(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  path_buffer target;
  int flags;
  CHECK(get_path(env, argv[0], &target));
  CHECK(get_int(env, argv[1], &flags));
  return give_result(env, umount2(target.bytes, flags));
}

const struct method mount_methods[] = {
    {"fsopen", method_fsopen},       {"fsconfig", method_fsconfig}, {"fsmount", method_fsmount}, {"openTree", method_openTree},
    {"moveMount", method_moveMount}, {"mount", method_mount},       {"umount", method_umount},   {NULL, NULL},
};
