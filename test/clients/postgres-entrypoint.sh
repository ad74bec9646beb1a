#!/bin/sh
# The first process of the tests' PostgreSQL image: makes the database when its volume is empty, and becomes the server. As in the official
# image, the server that makes the database listens only inside the container, so the port answers when all is done.
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync >/dev/null
  echo "host all all all trust" >>"$PGDATA/pg_hba.conf"
  pg_ctl -w -o "-k $PGHOST -c listen_addresses=''" start
  [ "${POSTGRES_DB:-postgres}" = postgres ] || createdb "$POSTGRES_DB"
  pg_ctl -w -m fast stop
fi
exec postgres -k "$PGHOST" -c listen_addresses='*'
