import { deepEqual, equal, match, ok, throws } from "node:assert/strict";
import { describe, it } from "node:test";
import { isApiError } from "@wherry/machinery";
import { builtinResources } from "../builtin-resources.ts";
import { createdFrom, goldenUid, readGolden, resourceOfPath } from "../testdata/golden.ts";
import { sameValue, treesAt, type Tree } from "../tree.ts";
import {
  createProtobufList,
  decodeKubernetesProtobuf,
  encodeKubernetesProtobuf,
  encodeProtobufWatchEvent,
  hasProtobufForm,
} from "./kubernetes-protobuf.ts";

/** What kubectl 1.33 sends for `create deployment`, `create quota` and `create poddisruptionbudget`. */
const sentByKubectl = {
  deployment:
    "azhzAAoVCgdhcHBzL3YxEgpEZXBsb3ltZW50ErgBCh8KA3dlYhIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViEoYBCAISDAoKCgNhcHASA3dlYhpsChwKABIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViEkwSLgoFbmdpbngSBW5naW54KgAyCgoAEAAYUCIAKgBCAGoAcgCAAQCIAQCQAQCiAQAaADIAQgBKAFIAWABgAGgAggEAigEAmgEAwgEAIgIKACgAOAAaDAgAEAAYACAAKAA4ABoAIgA=",
  quota: "azhzAAoTCgJ2MRINUmVzb3VyY2VRdW90YRIjChEKAXESABoAIgAqADIAOABCABIMCgoKA2NwdRIDCgExGgAaACIA",
  budget:
    "azhzAAogCglwb2xpY3kvdjESE1BvZERpc3J1cHRpb25CdWRnZXQSNgoRCgFwEgAaACIAKgAyADgAQgASFQoJCAEQABoDNTAlEggKBgoBYRIBYhoKCAAYACAAKAAwABoAIgA=",
};

describe("Kubernetes protobuf", () => {
  it("reads what a Go client writes, as Go's JSON codec would show it", () => {
    const { apiVersion, kind, object } = decodeKubernetesProtobuf(bytesOf(sentByKubectl.budget));
    deepEqual([apiVersion, kind], ["policy/v1", "PodDisruptionBudget"]);
    deepEqual(object, {
      apiVersion: "policy/v1",
      kind: "PodDisruptionBudget",
      metadata: { name: "p" },
      spec: { minAvailable: "50%", selector: { matchLabels: { a: "b" } } },
      status: { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 },
    });
  });

  it("gives back every object that a server has stored, and the same bytes again", () => {
    let count = 0;
    for (const group of ["defaulting", "tables", "validation-update"]) {
      for (const { id, status, body } of readGolden(group)) {
        if (body === undefined || status >= 400 || body["kind"] === "Table") continue;
        const object = withRealValues(body);
        const bytes = encodeKubernetesProtobuf(object);
        const decoded = decodeKubernetesProtobuf(bytes).object;
        deepEqual(decoded, object, id);
        ok(encodeKubernetesProtobuf(decoded).equals(bytes), id);
        count += 1;
      }
    }
    ok(count >= 60);
  });

  it("gives back every object that validation is tried with", () => {
    for (const { id, request, message } of readGolden("validation-create")) {
      if (message?.includes("cannot be handled") === true || request.body === undefined) continue;
      const { definition } = resourceOfPath(request.path);
      const object = createdFrom(definition, request.body) as Tree;
      // The objects inside of an object have no kind in protobuf; defaulting names it again.
      for (const claim of treesAt(object, "spec", "volumeClaimTemplates")) {
        delete claim["apiVersion"];
        delete claim["kind"];
      }
      const again = decodeKubernetesProtobuf(encodeKubernetesProtobuf(object)).object;
      ok(sameValue(again, object), id);
    }
  });

  for (const [name, text] of Object.entries(sentByKubectl)) {
    it(`writes a ${name} byte for byte as kubectl does`, () => {
      const bytes = bytesOf(text);
      deepEqual(encodeKubernetesProtobuf(decodeKubernetesProtobuf(bytes).object), bytes);
    });
  }

  it("keeps what has a form of its own", () => {
    const objects: readonly Tree[] = [
      {
        apiVersion: "apps/v1",
        kind: "ControllerRevision",
        metadata: {
          name: "x",
          creationTimestamp: "1969-12-31T23:59:59Z",
          managedFields: [
            {
              manager: "m",
              operation: "Apply",
              time: "2026-01-02T03:04:05Z",
              fieldsType: "FieldsV1",
              fieldsV1: { "f:data": {} },
            },
          ],
        },
        data: { spec: { "x y": [1, "two", null] } },
        revision: -3,
      },
      {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name: "x" },
        spec: { renewTime: "2026-01-02T03:04:05.123457Z", leaseDurationSeconds: 0 },
      },
      {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "x" },
        data: { a: "", b: "/wA=" },
        immutable: false,
        type: "Opaque",
      },
      {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenReview",
        metadata: {},
        spec: { token: "t" },
        status: { user: { username: "u", extra: { a: ["1", "2"], b: [] } } },
      },
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "x" },
        spec: {
          volumes: [{ name: "v", configMap: { name: "c", defaultMode: 420 } }],
          containers: [
            {
              name: "c",
              resources: { limits: { cpu: "100m", memory: "1Gi" } },
              livenessProbe: { httpGet: { path: "/", port: "http" }, periodSeconds: 10 },
              readinessProbe: { tcpSocket: { port: 80 } },
            },
          ],
        },
        status: {},
      },
      {
        apiVersion: "apiextensions.k8s.io/v1",
        kind: "CustomResourceDefinition",
        metadata: { name: "x" },
        spec: {
          group: "example.org",
          names: { plural: "xs", kind: "X" },
          scope: "Cluster",
          versions: [
            {
              name: "v1",
              served: true,
              storage: true,
              schema: {
                openAPIV3Schema: {
                  $ref: "r",
                  type: "object",
                  default: { a: [1.5, false] },
                  enum: ["a", 1],
                  maximum: 0.5,
                  items: [{ type: "string" }, { type: "number" }],
                  properties: {
                    a: { items: { type: "string" }, additionalProperties: false },
                    b: { additionalProperties: { type: "integer" }, minLength: 0 },
                  },
                  dependencies: { a: ["b"], b: { type: "object" } },
                  "x-kubernetes-preserve-unknown-fields": true,
                  "x-kubernetes-int-or-string": true,
                },
              },
            },
          ],
        },
        status: { conditions: null, acceptedNames: { plural: "", kind: "" }, storedVersions: null },
      },
      {
        apiVersion: "v1",
        kind: "DeleteOptions",
        gracePeriodSeconds: 0,
        preconditions: { uid: goldenUid },
        propagationPolicy: "Foreground",
      },
      {
        apiVersion: "apiregistration.k8s.io/v1",
        kind: "APIService",
        metadata: { name: "v1.example.org" },
        spec: {
          service: { namespace: "n", name: "s", port: 443 },
          group: "example.org",
          version: "v1",
          caBundle: "Y2E=",
          groupPriorityMinimum: 100,
          versionPriority: 10,
        },
        status: {},
      },
    ];
    for (const object of objects)
      deepEqual(decodeKubernetesProtobuf(encodeKubernetesProtobuf(object)).object, object);
  });

  it("writes lists item by item", () => {
    const list = createProtobufList({ apiVersion: "v1", kind: "ConfigMapList" });
    for (const name of ["a", "b"]) list.item({ metadata: { name }, data: { name } });
    const bytes = list.finish({ resourceVersion: "7" });
    const object = {
      apiVersion: "v1",
      kind: "ConfigMapList",
      metadata: { resourceVersion: "7" },
      items: ["a", "b"].map((name) => ({ metadata: { name }, data: { name } })),
    };
    deepEqual(decodeKubernetesProtobuf(bytes).object, object);
    deepEqual(bytes, encodeKubernetesProtobuf(object));
  });

  it("writes events of a watch with their length in front", () => {
    const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" } };
    const frame = encodeProtobufWatchEvent("ADDED", object);
    equal(frame.readUInt32BE(0), frame.length - 4);
    deepEqual(frame.subarray(4, 11), Buffer.from("\x0a\x05ADDED"));
    const start = frame.indexOf("k8s\0");
    deepEqual(decodeKubernetesProtobuf(frame.subarray(start)).object, object);
  });

  it("takes kind and version from the request when the envelope has none", () => {
    const bytes = Buffer.from("k8s\0\x12\x00", "latin1");
    deepEqual(decodeKubernetesProtobuf(bytes, { apiVersion: "v1", kind: "DeleteOptions" }).object, {
      apiVersion: "v1",
      kind: "DeleteOptions",
    });
  });

  it("knows every built-in kind and its list, and nothing of other groups", () => {
    for (const { group, version, kind, listKind, storagePrefix } of builtinResources()) {
      const apiVersion = group === "" ? version : `${group}/${version}`;
      ok(hasProtobufForm(apiVersion, kind), `${apiVersion} ${kind}`);
      if (storagePrefix !== undefined) ok(hasProtobufForm(apiVersion, listKind), listKind);
    }
    ok(!hasProtobufForm("apps.example.org/v1", "Deployment"));
    ok(!hasProtobufForm("v1", "PodSpec"));
  });

  it("refuses what it cannot read, saying why", () => {
    const refused = (bytes: Buffer, text: RegExp): void => {
      throws(
        () => decodeKubernetesProtobuf(bytes),
        (error) => {
          ok(isApiError(error, "BadRequest"));
          match(error.message, text);
          return true;
        },
      );
    };
    refused(Buffer.from("{}"), /expected prefix \[107 56 115 0\]/);
    refused(Buffer.from("k8s\0bad"), /./);
    const whole = bytesOf(sentByKubectl.deployment);
    // The last four bytes are fields of their own.
    for (let length = 4; length < whole.length - 4; length += 7)
      refused(whole.subarray(0, length), /./);
    refused(
      Buffer.from("k8s\0\x0a\x08\x0a\x02v1\x12\x02No", "latin1"),
      /no kind "No" is registered for version "v1"/,
    );
    throws(() => encodeKubernetesProtobuf({ apiVersion: "example.org/v1", kind: "X" }), /no kind/);
  });
});

function bytesOf(text: string): Buffer {
  return Buffer.from(text, "base64");
}

/** Recordings have placeholders where times and numbers were. */
function withRealValues(body: Tree): Tree {
  return JSON.parse(
    JSON.stringify(body)
      .replaceAll('"<time>"', '"2026-01-02T03:04:05Z"')
      .replaceAll('"<nodePort>"', "30000"),
  ) as Tree;
}
