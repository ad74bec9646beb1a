/* Ports of the host: reserved with a socket that never answers, or opened for the process that will answer. */
#include "addon.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { LISTEN_BACKLOG = 4096 };
enum { RESERVE_TCP = 0, RESERVE_UDP = 1, RESERVE_SCTP = 2 };

/* Makes a socket address of an IPv4 or IPv6 address in digits. Returns 0, or EINVAL. */
static int parse_address(const char *text, uint16_t port, struct sockaddr_storage *out, socklen_t *length) {
  memset(out, 0, sizeof *out);
  struct sockaddr_in *four = (struct sockaddr_in *)out;
  struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
  if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    *length = sizeof *four;
    return 0;
  }
  if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    *length = sizeof *six;
    return 0;
  }
  return EINVAL;
}

static int prepare(int fd, int protocol, bool silent, const struct sockaddr_storage *address, socklen_t length) {
  /* A filter with the one instruction "accept 0 bytes". It is set before bind, so that no packet gets an answer at any moment. */
  struct sock_filter drop = {.code = BPF_RET | BPF_K, .k = 0};
  struct sock_fprog program = {.len = 1, .filter = &drop};
  int on = 1;
  if (silent && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0) return -1;
  if (address->ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) return -1;
  if (protocol == RESERVE_TCP && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) return -1;
  if (bind(fd, (const struct sockaddr *)address, length) < 0) return -1;
  return protocol == RESERVE_UDP ? 0 : listen(fd, silent ? 1 : LISTEN_BACKLOG);
}

static napi_value open_port(napi_env env, napi_callback_info info, bool silent) {
  ARGUMENTS(3);
  int protocol, port;
  path_buffer text;
  struct sockaddr_storage address;
  socklen_t length;
  CHECK(get_int(env, argv[0], &protocol));
  CHECK(get_path(env, argv[1], &text));
  CHECK(get_int(env, argv[2], &port));
  if (port < 0 || port > 65535) return give(env, -EINVAL);
  CHECK(parse_address(text.bytes, (uint16_t)port, &address, &length));
  int type = protocol == RESERVE_UDP ? SOCK_DGRAM : SOCK_STREAM;
  int fd = socket(address.ss_family, type | SOCK_CLOEXEC, protocol == RESERVE_SCTP ? IPPROTO_SCTP : 0);
  if (fd < 0) return give(env, -errno);
  if (prepare(fd, protocol, silent, &address, length) < 0) {
    int error = errno;
    close(fd);
    return give(env, -error);
  }
  return give(env, fd);
}

/* reservePort(protocol, address, port) */
static napi_value method_reservePort(napi_env env, napi_callback_info info) { return open_port(env, info, true); }

/* listenPort(protocol, address, port) */
static napi_value method_listenPort(napi_env env, napi_callback_info info) { return open_port(env, info, false); }

const struct method port_methods[] = {
    {"reservePort", method_reservePort},
    {"listenPort", method_listenPort},
    {NULL, NULL},
};
