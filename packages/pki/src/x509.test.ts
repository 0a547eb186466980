import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { connect, createServer } from "node:tls";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import {
  caHash,
  createAuthority,
  createCertificateRequest,
  isUsable,
  issueCertificate,
  parseBundle,
  PkiError,
  readCertificateRequest,
  sansOf,
  signCertificateRequest,
  subjectOf,
} from "./index.ts";

test("a leaf chains to its authority and carries subject, names and validity", async () => {
  const ca = await createAuthority({ commonName: "wherry-server-ca@1" });
  const leaf = await issueCertificate(ca, {
    subject: { commonName: "system:node:a", organizations: ["system:nodes"] },
    sans: { dns: ["a", "localhost"], ips: ["127.0.0.1", "::1"] },
    usages: ["client", "server"],
  });
  const certificate = new X509Certificate(leaf.certPem);
  assert.ok(certificate.verify(new X509Certificate(ca.certPem).publicKey));
  assert.ok(certificate.checkIssued(new X509Certificate(ca.certPem)));
  assert.deepEqual(subjectOf(certificate), {
    commonName: "system:node:a",
    organizations: ["system:nodes"],
  });
  assert.deepEqual(sansOf(certificate), ["0:0:0:0:0:0:0:1", "127.0.0.1", "a", "localhost"]);
  const now = Date.now();
  assert.ok(isUsable(leaf, now, 300 * 86_400_000));
  assert.ok(!isUsable(leaf, now, 366 * 86_400_000));
  assert.ok(!isUsable({ ...leaf, keyPem: ca.keyPem }, now, 0));
});

test("a request is signed for the caller's subject, not for the one it asks for", async () => {
  const ca = await createAuthority({ commonName: "ca" });
  const { csrDer } = await createCertificateRequest({
    subject: { commonName: "system:masters-please", organizations: ["system:masters"] },
  });
  assert.deepEqual((await readCertificateRequest(csrDer)).subject.organizations, [
    "system:masters",
  ]);
  const pem = await signCertificateRequest(ca, csrDer, {
    subject: { commonName: "n" },
    usages: ["client"],
  });
  assert.deepEqual(subjectOf(new X509Certificate(pem)), { commonName: "n", organizations: [] });
});

test("a broken request is refused with a clear error", async () => {
  await assert.rejects(
    readCertificateRequest(new Uint8Array([1, 2, 3])),
    (error: unknown) => error instanceof PkiError && /PKCS #10/.test(error.message),
  );
});

test("a TLS server with an issued certificate is accepted by a client that trusts the authority", async () => {
  const ca = await createAuthority({ commonName: "ca" });
  const leaf = await issueCertificate(ca, {
    subject: { commonName: "s" },
    sans: { ips: ["127.0.0.1"] },
    usages: ["server"],
  });
  const server = createServer({ cert: leaf.certPem, key: leaf.keyPem }, (socket) =>
    socket.end("hello"),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = connect({
    port: (server.address() as AddressInfo).port,
    host: "127.0.0.1",
    ca: ca.certPem,
  });
  await once(socket, "secureConnect");
  assert.ok(socket.authorized);
  socket.destroy();
  server.close();
});

test("the CA hash of one certificate is over the PEM bytes, of a bundle over the root's DER", async () => {
  const root = await createAuthority({ commonName: "root" });
  const other = await createAuthority({ commonName: "other" });
  const bundle = other.certPem + root.certPem;
  assert.notEqual(caHash(root.certPem), caHash(bundle));
  assert.equal(parseBundle(bundle).length, 2);
  assert.equal(caHash(`${other.certPem}\n${root.certPem}`), caHash(bundle));
});
