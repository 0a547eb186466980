import { createHttpTransport } from "@wherry/client";
import { runTransportContract } from "@wherry/client/testing";
import { createAuthority, issueCertificate } from "@wherry/pki";
import { adminToken, startFixture } from "./testing/apiserver-fixture.ts";

runTransportContract("API server in process", async () => {
  const fixture = await startFixture();
  return { transport: fixture.admin, close: fixture.close };
});

runTransportContract("API server over HTTP", async () => {
  const fixture = await startFixture({ config: { listen: { host: "127.0.0.1", port: 0 } } });
  const transport = createHttpTransport({
    url: fixture.server.endpoint()!.url,
    token: { value: adminToken },
  });
  return {
    transport,
    async close() {
      transport.close();
      await fixture.close();
    },
  };
});

runTransportContract("API server over HTTPS with a client certificate", async () => {
  const authority = await createAuthority({ commonName: "test-ca" });
  const serving = await issueCertificate(authority, {
    subject: { commonName: "apiserver" },
    sans: { ips: ["127.0.0.1"] },
    usages: ["server"],
  });
  const client = await issueCertificate(authority, {
    subject: { commonName: "admin", organizations: ["system:masters"] },
    usages: ["client"],
  });
  const fixture = await startFixture({
    config: {
      clientCaPem: authority.certPem,
      listen: { host: "127.0.0.1", port: 0, certPem: serving.certPem, keyPem: serving.keyPem },
    },
  });
  const transport = createHttpTransport({
    url: fixture.server.endpoint()!.url,
    ca: { value: authority.certPem },
    cert: { value: client.certPem },
    key: { value: client.keyPem },
  });
  return {
    transport,
    async close() {
      transport.close();
      await fixture.close();
    },
  };
});
