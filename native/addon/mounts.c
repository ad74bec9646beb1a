/* Mounts: the calls with descriptors, and mount(2) and umount2(2) for cases that need them. */
#include "addon.h"
#include "threads.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#define OPEN_TREE_CLONE_CLOEXEC (1U | O_CLOEXEC)

/* fsopen(type) */
static napi_value method_fsopen(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  path_buffer type;
  CHECK(get_path(env, argv[0], &type));
  const unsigned int cloexec = 1;
  return give_result(env, syscall(SYS_fsopen, type.bytes, cloexec));
}

/* fsconfig(fd, command, key, value, aux): key or value is null when the command has none. */
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

struct overlay_task {
  const char *base;
  const char *options;
  /* A descriptor, or minus errno. */
  int result;
};

/* The steps of one mount. They run in a mount namespace that ends with this thread. */
static void *mount_overlay(void *argument) {
  struct overlay_task *task = argument;
  if (unshare(CLONE_FS | CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || chdir(task->base) < 0 ||
      mount("overlay", ".", "overlay", 0, task->options) < 0)
    task->result = -errno;
  else {
    /* Opened again by its path: "." is still the directory under the new mount. */
    task->result = (int)syscall(SYS_open_tree, AT_FDCWD, task->base, OPEN_TREE_CLONE_CLOEXEC);
    if (task->result < 0) task->result = -errno;
  }
  return NULL;
}

/*
 * openOverlayByMount(base, options): makes a detached overlay with mount(2), for kernels that cannot configure an overlay layer by layer. Names
 * in `options` are relative to `base`: shorter names save room in the one page that the options may fill. A separate thread enters a new mount
 * namespace for this, so that the mount never appears in our own namespace.
 */
static napi_value method_openOverlayByMount(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  path_buffer base, options;
  CHECK(get_path(env, argv[0], &base));
  CHECK(get_path(env, argv[1], &options));
  struct overlay_task task = {.base = base.bytes, .options = options.bytes, .result = -EAGAIN};
  pthread_t thread;
  int error = start_thread(&thread, false, mount_overlay, &task);
  if (error) return give(env, -error);
  pthread_join(thread, NULL);
  return give(env, task.result);
}

const struct method mount_methods[] = {
    {"fsopen", method_fsopen},
    {"fsconfig", method_fsconfig},
    {"fsmount", method_fsmount},
    {"moveMount", method_moveMount},
    {"openOverlayByMount", method_openOverlayByMount},
    {"mount", method_mount},
    {"umount", method_umount},
    {NULL, NULL},
};
