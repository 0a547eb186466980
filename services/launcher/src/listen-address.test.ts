import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { test } from "node:test";
import { assertPortFree, listenAddressOf } from "./listen-address.ts";

test("a port that someone else holds is refused, and free afterwards", async () => {
  const holder = createServer().listen(0, "127.0.0.1");
  await once(holder, "listening");
  const { port } = holder.address() as AddressInfo;
  await assert.rejects(
    assertPortFree({ host: "127.0.0.1", port }),
    new RegExp(`port ${port} on 127\\.0\\.0\\.1 is in use`),
  );
  holder.close();
  await once(holder, "close");
  await assertPortFree({ host: "127.0.0.1", port });
  await assertPortFree({ host: "127.0.0.1", port });
});

test("an address that is not this machine's is refused", async () => {
  await assert.rejects(
    assertPortFree({ host: "192.0.2.1", port: 6443 }),
    /--bind-address 192\.0\.2\.1 is not an address of this machine/,
  );
});

test("flags are checked, and have K3s' defaults", () => {
  assert.deepEqual(listenAddressOf({}), { host: "0.0.0.0", port: 6443 });
  assert.deepEqual(listenAddressOf({ "bind-address": "::1", "https-listen-port": 7443 }), {
    host: "::1",
    port: 7443,
  });
  assert.throws(
    () => listenAddressOf({ "bind-address": "localhost" }),
    /--bind-address must be an IP address/,
  );
  assert.throws(
    () => listenAddressOf({ "https-listen-port": 0 }),
    /--https-listen-port must be a port between 1 and 65535/,
  );
});
