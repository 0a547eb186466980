import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseEndpoint, parseListen } from "./endpoint.ts";

describe("endpoints", () => {
  it("are read in all their forms", () => {
    assert.deepEqual(parseEndpoint("http://127.0.0.1:2379"), {
      target: "127.0.0.1:2379",
      host: "127.0.0.1",
      isTls: false,
    });
    assert.deepEqual(parseEndpoint("https://etcd.example"), {
      target: "etcd.example:2379",
      host: "etcd.example",
      isTls: true,
    });
    assert.deepEqual(parseEndpoint("https://[::1]:2379"), {
      target: "[::1]:2379",
      host: "::1",
      isTls: true,
    });
    assert.deepEqual(parseEndpoint("unix:/run/kine.sock"), {
      target: "unix:/run/kine.sock",
      host: "",
      isTls: false,
    });
    assert.deepEqual(parseEndpoint("unix://kine.sock"), {
      target: "unix:kine.sock",
      host: "",
      isTls: false,
    });
    assert.equal(parseListen("127.0.0.1:0"), "127.0.0.1:0");
    assert.equal(parseListen("unix:/run/a.sock"), "unix:/run/a.sock");
  });

  it("are refused with what to write instead", () => {
    for (const endpoint of ["127.0.0.1:2379", "ftp://host", "http://host/path", ""]) {
      assert.throws(
        () => parseEndpoint(endpoint),
        /must be http:\/\/HOST:PORT, https:\/\/HOST:PORT or unix:PATH/,
      );
    }
    assert.throws(() => parseEndpoint("unix:"), /names no socket/);
    assert.throws(() => parseListen("2379"), /must be HOST:PORT or unix:PATH/);
  });
});
