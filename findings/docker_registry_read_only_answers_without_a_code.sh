#!/usr/bin/env bash
# docker-registry 2.8.2+ds1-1 (Debian 12, `distribution`), asked by curl.
#
# The OCI distribution specification gives errors as JSON, `{"errors": [{"code": …}]}`, and a code for what a registry does
# not do, UNSUPPORTED; this registry answers so elsewhere, as for a manifest that is not there. With
# `storage.maintenance.readonly.enabled` a push is refused with status 405 and the plain text "Method not allowed", without
# any code: a client that shows the codes and messages of errors has nothing to show.
#
# Seen: 405 text/plain; charset=utf-8: Method not allowed
#       404 application/json; charset=utf-8: MANIFEST_UNKNOWN
#
# Needs apt with Debian 12's archive, dpkg, curl and python3. Ends with 0 while this holds, with 1 once it does not.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q docker-registry=2.8.2+ds1-1 > apt.log 2>&1 || { cat apt.log; exit 1; }
dpkg -x docker-registry_*.deb .
cat > config.yml <<YML
version: 0.1
storage:
  filesystem:
    rootdirectory: $folder/files
  maintenance:
    readonly:
      enabled: true
http:
  addr: 127.0.0.1:0
YML
usr/bin/docker-registry serve config.yml > server.log 2>&1 &
server=$!
until address=$(grep -o 'listening on [0-9.:]*' server.log); do
    kill -0 "$server" || { cat server.log; exit 1; }
    sleep 0.1
done
at="http://${address#listening on }/v2/a/b"
pushed=$(curl -sS -X POST -w '%{http_code} %{content_type}' -o pushed "$at/blobs/uploads/")
pulled=$(curl -sS -w '%{http_code} %{content_type}' -o pulled "$at/manifests/1")
code=$(python3 -c 'import json; print(json.load(open("pulled"))["errors"][0]["code"])')
echo "$pushed: $(tr -d '\n' < pushed)"
echo "$pulled: $code"
[ "$pushed: $(tr -d '\n' < pushed)" = "405 text/plain; charset=utf-8: Method not allowed" ]
[ "$pulled: $code" = "404 application/json; charset=utf-8: MANIFEST_UNKNOWN" ]
