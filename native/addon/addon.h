/*
 * Shared by the files of the addon. Every exported function returns one number: the result of its syscall, or minus errno. A result that is
 * more than a number goes into a buffer of the caller. The addon never makes a JavaScript object, so a call costs little more than its syscall.
 * The addon has no state that threads (workers) could share by mistake.
 */
#ifndef FATHOM_ADDON_H
#define FATHOM_ADDON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compat.h"

/* Longest path that the kernel accepts, without its final NUL. */
#define PATH_LIMIT 4095

struct method {
  const char *name;
  napi_callback call;
};

/* One table per file, ended by a null name. module.c exports the functions of all tables. */
extern const struct method file_methods[];
extern const struct method path_methods[];
extern const struct method xattr_methods[];
extern const struct method socket_methods[];
extern const struct method mount_methods[];
extern const struct method process_methods[];
extern const struct method network_methods[];
extern const struct method port_methods[];
extern const struct method watch_methods[];
extern const struct method bpf_methods[];

typedef struct {
  char bytes[PATH_LIMIT + 2];
  size_t length;
} path_buffer;

typedef struct {
  uint8_t *data;
  size_t length;
} byte_view;

/* Reads exactly `count` arguments. 0, or EINVAL when the caller passed fewer. */
static inline int get_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values) {
  size_t given = count;
  if (napi_get_cb_info(env, info, &given, values, NULL, NULL) != napi_ok || given < count) return EINVAL;
  return 0;
}

static inline int get_int(napi_env env, napi_value value, int *out) {
  return napi_get_value_int32(env, value, out) == napi_ok ? 0 : EINVAL;
}

/* Flags and masks: bit 31 may be set. */
static inline int get_flags(napi_env env, napi_value value, uint32_t *out) {
  return napi_get_value_uint32(env, value, out) == napi_ok ? 0 : EINVAL;
}

/* A non-negative whole number up to 2^53. */
static inline int get_size(napi_env env, napi_value value, uint64_t *out) {
  int64_t number;
  if (napi_get_value_int64(env, value, &number) != napi_ok || number < 0) return EINVAL;
  *out = (uint64_t)number;
  return 0;
}

static inline int get_bigint(napi_env env, napi_value value, int64_t *out) {
  bool lossless = false;
  if (napi_get_value_bigint_int64(env, value, out, &lossless) != napi_ok || !lossless) return EINVAL;
  return 0;
}

static inline int get_bytes(napi_env env, napi_value value, byte_view *out) {
  napi_typedarray_type type;
  void *data = NULL;
  size_t length = 0;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok) return EINVAL;
  size_t unit = 1;
  if (type == napi_int32_array || type == napi_uint32_array || type == napi_float32_array) unit = 4;
  else if (type == napi_int16_array || type == napi_uint16_array) unit = 2;
  else if (type == napi_float64_array || type == napi_bigint64_array || type == napi_biguint64_array) unit = 8;
  out->data = data;
  out->length = length * unit;
  return 0;
}

/* A path: a string (as UTF-8) or bytes. A path with a NUL inside is rejected, because the kernel would see another, shorter path. */
static inline int get_path(napi_env env, napi_value value, path_buffer *out) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, out->bytes, sizeof out->bytes, &length) != napi_ok) {
    byte_view view;
    if (get_bytes(env, value, &view)) return EINVAL;
    if (view.length > PATH_LIMIT) return ENAMETOOLONG;
    length = view.length;
    if (length > 0) memcpy(out->bytes, view.data, length);
    out->bytes[length] = 0;
  }
  if (length > PATH_LIMIT) return ENAMETOOLONG;
  if (memchr(out->bytes, 0, length) != NULL) return EINVAL;
  out->length = length;
  return 0;
}

static inline napi_value give(napi_env env, int64_t number) {
  napi_value value;
  if (number >= INT32_MIN && number <= INT32_MAX) napi_create_int32(env, (int32_t)number, &value);
  else napi_create_int64(env, number, &value);
  return value;
}

/* The result of a libc or syscall(2) call: its value, or minus errno. */
static inline napi_value give_result(napi_env env, int64_t result) {
  return give(env, result < 0 ? -(int64_t)errno : result);
}

#define RETRY(call)                                      \
  ({                                                     \
    int64_t retry_result;                                \
    do retry_result = (int64_t)(call);                   \
    while (retry_result < 0 && errno == EINTR);          \
    retry_result;                                        \
  })

/* Declares `argv`, and returns EINVAL from the function when arguments are missing. */
#define ARGUMENTS(count)                                                                \
  napi_value argv[count];                                                               \
  if (get_arguments(env, info, count, argv)) return give(env, -EINVAL)

/* Returns from the function with minus the error of `expression`, if there is one. */
#define CHECK(expression)                               \
  do {                                                  \
    int check_error = (expression);                     \
    if (check_error) return give(env, -check_error);    \
  } while (0)

#endif
