import { generateNameSuffix, isNotFound, type KubeObject } from "@wherry/machinery";
import type { Clock } from "@wherry/service-kit";
import type { AdmissionPlugin, AdmissionRequest } from "../chain.ts";
import type { ObjectStore } from "../object-store.ts";
import { resourceIds } from "../auth/resource-ids.ts";
import { annotationsOf, mirrorAnnotation, podSpecDraft, type PodSpecDraft } from "./pod-draft.ts";
import { admissionForbidden } from "./refuse.ts";

interface ServiceAccount extends KubeObject {
  readonly automountServiceAccountToken?: boolean;
  readonly imagePullSecrets?: readonly { readonly name?: string }[];
}

export interface ServiceAccountAdmissionOptions {
  readonly store: Pick<ObjectStore, "get" | "peek" | "subscribe">;
  readonly clock: Clock;
  readonly random: () => number;
}

const volumePrefix = "kube-api-access-";
const mountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
/** One hour and a bit: the odd number tells the token issuer that the holder is a pod's default token. */
const tokenSeconds = 3607;
/** How long a pod waits for the `default` account of a namespace that was just created. */
const defaultAccountWaitMs = 1500;

/** Every pod runs as a service account and finds that account's token, the cluster's CA and its namespace mounted, unless it declines. */
export function createServiceAccountAdmission(
  options: ServiceAccountAdmissionOptions,
): AdmissionPlugin {
  return {
    name: "ServiceAccount",
    async mutate(request) {
      const spec = podSpecDraft(request);
      if (spec === undefined || request.operation !== "CREATE") return;
      if (annotationsOf(request)[mirrorAnnotation] !== undefined) {
        assertMirrorPod(request, spec);
        return;
      }
      const name = spec.serviceAccountName || spec.serviceAccount || "default";
      spec.serviceAccountName = name;
      spec.serviceAccount = name;
      const account = await findAccount(options, request.namespace, name);
      if (account === undefined) {
        throw admissionForbidden(
          request,
          `error looking up service account ${request.namespace}/${name}: serviceaccount "${name}" not found`,
        );
      }
      if (spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true)
        mountToken(spec, options.random);
      if (
        (spec.imagePullSecrets ?? []).length === 0 &&
        (account.imagePullSecrets ?? []).length > 0
      ) {
        spec.imagePullSecrets = (account.imagePullSecrets ?? []).map(({ name: secret }) =>
          secret === undefined ? {} : { name: secret },
        );
      }
    },
  };
}

function assertMirrorPod(request: AdmissionRequest, spec: PodSpecDraft): void {
  if (spec.serviceAccountName)
    throw admissionForbidden(request, "a mirror pod may not reference service accounts");
  for (const volume of spec.volumes ?? []) {
    if (volume["secret"] !== undefined)
      throw admissionForbidden(request, "a mirror pod may not reference secrets");
    const projected = volume["projected"] as
      | { readonly sources?: readonly Readonly<Record<string, unknown>>[] }
      | undefined;
    if (projected?.sources?.some((source) => source["serviceAccountToken"] !== undefined)) {
      throw admissionForbidden(
        request,
        "a mirror pod may not use ServiceAccountToken volume projections",
      );
    }
  }
}

function mountToken(spec: PodSpecDraft, random: () => number): void {
  const existing = spec.volumes?.find((volume) => volume.name.startsWith(volumePrefix));
  const name = existing?.name ?? `${volumePrefix}${generateNameSuffix(random)}`;
  let mounted = false;
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
    if (container.volumeMounts?.some((mount) => mount.mountPath === mountPath)) continue;
    container.volumeMounts = [
      ...(container.volumeMounts ?? []),
      { name, readOnly: true, mountPath },
    ];
    mounted = true;
  }
  if (existing !== undefined || !mounted) return;
  const sources = [
    { serviceAccountToken: { expirationSeconds: tokenSeconds, path: "token" } },
    { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
    {
      downwardAPI: {
        items: [
          { path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } },
        ],
      },
    },
  ];
  spec.volumes = [...(spec.volumes ?? []), { name, projected: { sources, defaultMode: 0o644 } }];
}

async function findAccount(
  { store, clock }: ServiceAccountAdmissionOptions,
  namespace: string,
  name: string,
): Promise<ServiceAccount | undefined> {
  const cached = store.peek<ServiceAccount>(resourceIds.serviceAccounts, namespace, name);
  if (cached !== undefined) return cached;
  try {
    return await store.get<ServiceAccount>(resourceIds.serviceAccounts, namespace, name);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  return name === "default" ? waitForAccount(store, clock, namespace, name) : undefined;
}

/** The controller makes the account a moment after its namespace; resolves with undefined when it has not within the wait. */
function waitForAccount(
  store: Pick<ObjectStore, "subscribe">,
  clock: Clock,
  namespace: string,
  name: string,
): Promise<ServiceAccount | undefined> {
  return new Promise((resolve) => {
    let settled = false;
    const settle = (account: ServiceAccount | undefined): void => {
      if (settled) return;
      settled = true;
      timer.cancel();
      // The subscription may still be under construction when it delivers what was there.
      queueMicrotask(() => end());
      resolve(account);
    };
    const timer = clock.setTimer(defaultAccountWaitMs, () => settle(undefined));
    const end = store.subscribe<ServiceAccount>(resourceIds.serviceAccounts, (change) => {
      const { metadata } = change.object;
      if (change.type === "added" && metadata.namespace === namespace && metadata.name === name)
        settle(change.object);
    });
  });
}
