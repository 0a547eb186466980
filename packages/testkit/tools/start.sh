#!/bin/sh
# `npm start [-- FLAGS]`: prepares the host once, then becomes the server, so that signals reach it directly.
set -e
node=node_modules/.bin/node
"$node" services/launcher/tools/prepare-host.ts "$@"
exec "$node" --max-semi-space-size=2 services/launcher/src/main.ts server "$@"
