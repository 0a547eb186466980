/** Bytes that kubectl 1.33 sent (`create deployment|quota|poddisruptionbudget`), and what it means by them. */
import { deepEqual, throws } from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeProtobufObject, decodeStoredProtobuf } from "./protobuf-object.ts";
import { canonicalValue, loadProtobuf, valuePrefix } from "./stored-value.ts";

const deployment = Buffer.from(
  "azhzAAoVCgdhcHBzL3YxEgpEZXBsb3ltZW50ErgBCh8KA3dlYhIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViEoYBCAISDAoKCgNhcHASA3dlYhpsChwKABIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViEkwSLgoFbmdpbngSBW5naW54KgAyCgoAEAAYUCIAKgBCAGoAcgCAAQCIAQCQAQCiAQAaADIAQgBKAFIAWABgAGgAggEAigEAmgEAwgEAIgIKACgAOAAaDAgAEAAYACAAKAA4ABoAIgA=",
  "base64",
);
const quota = Buffer.from(
  "azhzAAoTCgJ2MRINUmVzb3VyY2VRdW90YRIjChEKAXESABoAIgAqADIAOABCABIMCgoKA2NwdRIDCgExGgAaACIA",
  "base64",
);
const budget = Buffer.from(
  "azhzAAogCglwb2xpY3kvdjESE1BvZERpc3J1cHRpb25CdWRnZXQSNgoRCgFwEgAaACIAKgAyADgAQgASFQoJCAEQABoDNTAlEggKBgoBYRIBYhoKCAAYACAAKAAwABoAIgA=",
  "base64",
);
const fallback = { apiVersion: "v1", kind: "Thing" };

describe("Kubernetes protobuf", () => {
  it("becomes the JSON form, zero values dropped", () => {
    deepEqual(decodeStoredProtobuf(deployment, { apiVersion: "apps/v1", kind: "Deployment" }), {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", labels: { app: "web" } },
      spec: {
        replicas: 2,
        selector: { matchLabels: { app: "web" } },
        template: {
          metadata: { labels: { app: "web" } },
          spec: {
            containers: [
              { name: "nginx", image: "nginx", ports: [{ containerPort: 80 }], resources: {} },
            ],
          },
        },
        strategy: {},
      },
      status: {},
    });
  });

  it("reads quantities and int-or-string values", () => {
    const { spec } = decodeStoredProtobuf(quota, { apiVersion: "v1", kind: "ResourceQuota" });
    deepEqual(spec, { hard: { cpu: "1" } });
    const { spec: wanted } = decodeStoredProtobuf(budget, {
      apiVersion: "policy/v1",
      kind: "PodDisruptionBudget",
    });
    deepEqual(wanted, { minAvailable: "50%", selector: { matchLabels: { a: "b" } } });
  });

  it("is rewritten as JSON when it is found in the store", async () => {
    const type = { apiVersion: "v1", kind: "ResourceQuota" };
    await loadProtobuf([{ value: quota }]);
    const value = canonicalValue(
      "/registry/resourcequotas/default/q",
      quota,
      type,
      Buffer.from(valuePrefix(type)),
    );
    deepEqual(JSON.parse(value.toString()), {
      kind: "ResourceQuota",
      apiVersion: "v1",
      metadata: { name: "q" },
      spec: { hard: { cpu: "1" } },
      status: {},
    });
  });

  it("refuses bytes that are no object", () => {
    throws(() => decodeProtobufObject(Buffer.from("k8s\0bad"), fallback));
  });
});
