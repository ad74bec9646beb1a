/*
 * Sends damaged requests to a supervisor under the sanitizers, over a socket as a daemon does: in pieces, several in a row, with and without
 * descriptors. Code that would make processes is replaced. All other code is the supervisor's own, and the sanitizer knows the bounds of its
 * memory. Usage: request-fuzz ROUNDS DIRECTORY FILE…; each file is one message, and the directory takes the place of the container's.
 */
#define _GNU_SOURCE
#include "../supervisor/supervisor.h"
#include "damage.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct supervisor supervisor;

void *__wrap_map_pages(size_t size, bool shared) {
  (void)shared;
  return calloc(1, size);
}
void *__wrap_map_own_pages(size_t size) {
  return calloc(1, size);
}
void __wrap_unmap_pages(void *at, size_t size) {
  (void)size;
  free(at);
}

int make_stem(const struct stem_request *request) {
  struct list cgroups = request->cgroups;
  size_t seen = strlen(request->join_pid) + strlen(request->uid_map) + strlen(request->gid_map) + strlen(request->time_offsets);
  for (uint32_t i = 0; i < cgroups.count; i++)
    seen += strlen(read_text(&cgroups.items));
  if (cgroups.items.bad || seen > MESSAGE_LIMIT)
    abort();
  return next() % 2 && new_process("") ? 0 : fail_with(EPERM, "clone3", "");
}

int start_exec(struct process *process, const struct stem_request *request, int ends[3]) {
  struct list cgroups = request->cgroups;
  (void)process;
  (void)ends;
  for (uint32_t i = 0; i < cgroups.count; i++)
    read_text(&cgroups.items);
  return next() % 2 ? 0 : fail_with(EPERM, "clone3", "");
}

static size_t damage(uint8_t *bytes, size_t length) {
  length = damage_bytes(bytes, length, next() % 4);
  /* Most messages get a right header, so that the damage is not rejected at the header; some get an unknown type. */
  if (length >= MESSAGE_HEADER && next() % 4) {
    uint32_t magic = MESSAGE_MAGIC, body = (uint32_t)(length - MESSAGE_HEADER), type = next();
    memcpy(bytes, &magic, 4);
    memcpy(bytes + 4, &body, 4);
    if (next() % 16 == 0)
      memcpy(bytes + 8, &type, 4);
  }
  return length;
}

static bool send_piece(int socket, const uint8_t *data, size_t length, int directory, unsigned fds) {
  union {
    struct cmsghdr align;
    char room[CMSG_SPACE(80 * sizeof(int))];
  } control;
  struct iovec piece = {(void *)(uintptr_t)data, length};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  if (fds) {
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(fds * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds * sizeof(int));
    for (unsigned i = 0; i < fds; i++)
      memcpy(CMSG_DATA(header) + i * sizeof(int), &directory, sizeof directory);
  }
  return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
}

static unsigned long count_fds(void) {
  unsigned long count = 0;
  DIR *all = opendir("/proc/self/fd");
  while (all && readdir(all))
    count++;
  closedir(all);
  return count;
}

/* Counts the answers. Every request that arrived whole has exactly one. */
static unsigned long read_answers(int socket) {
  static uint8_t bytes[1 << 20];
  size_t have = 0;
  unsigned long answers = 0;
  for (ssize_t got; have < sizeof bytes && (got = recv(socket, bytes + have, sizeof bytes - have, MSG_DONTWAIT)) > 0;)
    have += (size_t)got;
  struct reader in = {bytes, bytes + have, false};
  while (in.at != in.end) {
    uint32_t magic = read_u32(&in), length = read_u32(&in), type = read_u32(&in);
    read_u32(&in);
    if (in.bad || magic != MESSAGE_MAGIC || length > (size_t)(in.end - in.at)) {
      fprintf(stderr, "an answer is out of step\n");
      abort();
    }
    in.at += length;
    answers += type == SAY_OK || type == SAY_ERROR;
  }
  return answers;
}

static void reset(void) {
  static const enum phase phases[] = {PHASE_FREE, PHASE_PREPARED, PHASE_RUNNING, PHASE_WAITING, PHASE_ENDED};
  supervisor.ended = supervisor.launched = false;
  supervisor.directory = supervisor.listener = -1;
  enum phase phase = phases[next() % 5];
  if (phase == PHASE_FREE)
    return;
  int pair[2];
  if (!new_process("") || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
    abort();
  close(pair[1]);
  container()->socket = pair[0];
  container()->phase = phase;
  supervisor.launched = phase != PHASE_PREPARED;
}

static void tear_down(void) {
  for (unsigned i = 0; i < supervisor.processes.used; i++) {
    if (process_at(i)->phase != PHASE_FREE)
      free_process(process_at(i));
    process_at(i)->phase = PHASE_FREE;
  }
  finish_clients();
  settle_clients(INT64_MAX);
  close_listener();
  close_fd(&supervisor.directory);
}

int main(int argc, char **argv) {
  static uint8_t originals[32][1 << 16], stream[4 << 16];
  size_t lengths[32];
  unsigned long rounds = argc > 2 ? strtoul(argv[1], NULL, 10) : 0, answers = 0, sent = 0;
  int count = argc - 3 > 32 ? 32 : argc - 3;
  int directory = open(argc > 2 ? argv[2] : "", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int i = 0; i < count; i++) {
    FILE *file = fopen(argv[3 + i], "rb");
    lengths[i] = file ? fread(originals[i], 1, sizeof originals[i], file) : 0;
    fclose(file);
  }
  supervisor.processes = (struct table){.entry_size = sizeof(struct process), .most = PROCESSES_LIMIT};
  supervisor.clients = (struct table){.entry_size = sizeof(struct client), .most = CLIENTS_LIMIT};
  supervisor.connections = calloc(CONNECTIONS_LIMIT, sizeof *supervisor.connections);
  for (unsigned i = 0; i < CONNECTIONS_LIMIT; i++)
    supervisor.connections[i].fd = -1;
  make_streams_room();
  make_container();
  unsigned long before = 0;
  for (unsigned long round = 0; round < rounds; round++) {
    int pair[2];
    if (round == 1)
      before = count_fds(); /* the log stays open after the first launch */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
      abort();
    reset();
    struct connection *connection = add_connection(pair[0]);
    size_t length = 0;
    for (unsigned messages = 1 + next() % 3; messages; messages--) {
      int which = (int)(next() % (unsigned)count);
      memcpy(stream + length, originals[which], lengths[which]);
      length += damage(stream + length, lengths[which]);
      sent++;
    }
    for (size_t at = 0; at < length && connection->fd >= 0;) {
      size_t piece = 1 + next() % (next() % 2 ? 64 : (uint32_t)length);
      piece = piece > length - at ? length - at : piece;
      if (!send_piece(pair[1], stream + at, piece, directory, next() % 3 ? 0 : next() % 80))
        break;
      at += piece;
      on_connection(connection, POLLIN);
    }
    answers += read_answers(pair[1]);
    close(pair[1]);
    if (connection->fd >= 0)
      close_connection(connection);
    tear_down();
  }
  unsigned long after = count_fds();
  /* The log may be open now and was closed before: two descriptors more. */
  if (after > before + 2) {
    fprintf(stderr, "descriptors leak: %lu before, %lu after\n", before, after);
    return 1;
  }
  printf("answered %lu of %lu\n", answers, sent);
  return 0;
}
