/* inotify. TypeScript reads the events with read() and decodes them. */
#include "addon.h"

#include <sys/inotify.h>

static napi_value method_inotifyInit(napi_env env, napi_callback_info info) {
  (void)info;
  return give_result(env, inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
}

/* inotifyAddWatch(fd, path, mask) */
static napi_value method_inotifyAddWatch(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int fd;
  path_buffer path;
  uint32_t mask;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_path(env, argv[1], &path));
  CHECK(get_flags(env, argv[2], &mask));
  return give_result(env, inotify_add_watch(fd, path.bytes, mask));
}

/* inotifyRemoveWatch(fd, watch) */
static napi_value method_inotifyRemoveWatch(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int fd, watch;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_int(env, argv[1], &watch));
  return give_result(env, inotify_rm_watch(fd, watch));
}

const struct method watch_methods[] = {
    {"inotifyInit", method_inotifyInit},
    {"inotifyAddWatch", method_inotifyAddWatch},
    {"inotifyRemoveWatch", method_inotifyRemoveWatch},
    {NULL, NULL},
};
