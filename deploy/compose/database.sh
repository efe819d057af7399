#!/bin/sh
# Run once, when the database is made: Toolyard's own user, who owns its own database and nothing else.
set -eu
psql --username "$POSTGRES_USER" --set ON_ERROR_STOP=1 --set password="$TOOLYARD_DATABASE_PASSWORD" <<'SQL'
CREATE ROLE toolyard LOGIN PASSWORD :'password';
CREATE DATABASE toolyard OWNER toolyard;
REVOKE CONNECT ON DATABASE toolyard FROM PUBLIC;
SQL
