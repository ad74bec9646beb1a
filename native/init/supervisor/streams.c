#define _GNU_SOURCE
#include "streams.h"

#include <string.h>
#include <sys/socket.h>

uint8_t *chunk;

int make_streams_room(void) {
  chunk = map_own_pages(CHUNK);
  return chunk ? 0 : -1;
}

void close_process_input(struct process *process) {
  if (process->terminal)
    return;
  if (process->pending_start < process->pending_end)
    process->close_input = true; /* close it when the pending input is written */
  else
    close_fd(&process->input);
}

bool wants_output(const struct process *process, int stream) {
  if (process->output[stream] < 0)
    return false;
  if (process->phase == PHASE_ENDED)
    return true;
  if (process->pause_until && process->pause_until > monotonic_ms())
    return false;
  for (unsigned i = 0; i < supervisor.clients.used; i++) {
    const struct client *client = client_at(i);
    if (client->fd >= 0 && client->process == process && client->wants[stream] && client->end - client->start > CLIENT_SOFT)
      return false;
  }
  return true;
}

static void end_output(struct process *process, int stream) {
  if (process->output[stream] < 0)
    return;
  if (process->input == process->output[stream])
    process->input = -1;
  close_fd(&process->output[stream]);
  if (process->container)
    log_end(stream);
}

void close_output(struct process *process) {
  end_output(process, 0);
  end_output(process, 1);
}

/* Reads once and passes the bytes on. False when there is nothing more now. */
static bool copy_output(struct process *process, int stream) {
  ssize_t got = read(process->output[stream], chunk, CHUNK);
  if (got < 0 && errno == EINTR)
    return true;
  if (got < 0 && errno == EAGAIN)
    return false;
  if (got <= 0) {
    if (process->terminal && process->phase != PHASE_ENDED) {
      /* No process has the terminal open now. A process that still runs may open it again. */
      process->pause_until = monotonic_ms() + HANGUP_PAUSE_MS;
      return false;
    }
    end_output(process, stream);
    return false;
  }
  if (process->container)
    log_write(stream, chunk, (size_t)got);
  for (unsigned i = 0; i < supervisor.clients.used; i++) {
    struct client *client = client_at(i);
    if (client->fd >= 0 && client->process == process && client->wants[stream])
      deliver(client, stream, chunk, (size_t)got);
  }
  return true;
}

void on_output(struct process *process, int stream) {
  for (int turns = 0; turns < 4 && wants_output(process, stream); turns++) {
    if (!copy_output(process, stream))
      return;
  }
}

void drain_output(struct process *process) {
  for (int stream = 0; stream < 2; stream++) {
    /* The number of reads is limited, to many times the largest pipe: other processes may continue to write. */
    for (int turns = 0; turns < 256 && process->output[stream] >= 0; turns++) {
      if (!copy_output(process, stream))
        break;
    }
  }
}

void on_input_room(struct process *process) {
  while (process->pending_start < process->pending_end && process->input >= 0) {
    ssize_t done = write(process->input, process->pending + process->pending_start, process->pending_end - process->pending_start);
    if (done < 0 && errno == EINTR)
      continue;
    if (done < 0 && errno == EAGAIN)
      return;
    if (done < 0) {
      if (process->input != process->output[0])
        close_fd(&process->input); /* no process reads: the rest is dropped */
      process->pending_start = process->pending_end;
      break;
    }
    process->pending_start += (uint32_t)done;
  }
  process->pending_start = process->pending_end = 0;
  unmap_pages(process->pending, PENDING_SIZE);
  process->pending = NULL;
  if (process->close_input) {
    process->close_input = false;
    close_process_input(process);
  }
}

bool wants_client_input(const struct client *client) {
  const struct process *process = client->process;
  if (client->linger)
    return true;
  if (!client->input || !process)
    return client->input;
  if (process->terminal && process->input < 0 && process->phase < PHASE_RUNNING)
    return false; /* the pty does not exist yet */
  return process->pending_end == 0;
}

void copy_input(struct client *client) {
  struct process *process = client->process;
  ssize_t got = recv(client->fd, chunk, CHUNK, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (got < 0) {
    close_client(client);
    return;
  }
  if (got == 0) {
    end_client_input(client, hangs_up(client->fd));
    return;
  }
  if (!process || process->input < 0)
    return;
  ssize_t done = write(process->input, chunk, (size_t)got);
  if (done < 0 && errno != EAGAIN && errno != EINTR) {
    if (process->input != process->output[0])
      close_fd(&process->input);
    return;
  }
  size_t taken = done > 0 ? (size_t)done : 0;
  if (taken < (size_t)got && (process->pending || (process->pending = map_own_pages(PENDING_SIZE)))) {
    memcpy(process->pending, chunk + taken, (size_t)got - taken);
    process->pending_start = 0;
    process->pending_end = (uint32_t)((size_t)got - taken);
  }
}
