/* Between the streams of processes (streams.c) and the clients that are attached to them (clients.c). */
#pragma once

#include "supervisor.h"

#define CHUNK 32768u
extern uint8_t *chunk; /* CHUNK bytes that only the supervisor has */
/*
 * When a client does not read and this many bytes wait for it, the supervisor stops reading the process's pipe, so the process sees a full
 * pipe. After the process's end everything that is left is read, up to the larger size: a pipe holds at most 1 MiB.
 */
#define CLIENT_SOFT (128u << 10)
#define CLIENT_ROOM (4u << 20)

/* streams.c */
void close_process_input(struct process *process);
/* Reads once from a client and passes the bytes to its process. */
void copy_input(struct client *client);

/* clients.c */
void deliver(struct client *client, int stream, const uint8_t *data, size_t length);
/* Both directions are closed: the client has gone, or the daemon that passed it on. */
bool hangs_up(int fd);
void end_client_input(struct client *client, bool hung_up);
void close_client(struct client *client);
