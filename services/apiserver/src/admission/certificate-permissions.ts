import type { AdmissionPlugin, AdmissionRequest, Authorizer } from "../chain.ts";
import type { KubeObject } from "@wherry/machinery";
import { isResource } from "./pod-draft.ts";
import { admissionForbidden } from "./refuse.ts";

interface SigningRequest extends KubeObject {
  readonly spec?: { readonly signerName?: string };
  readonly status?: { readonly certificate?: string };
}

/** Approving a signing request and putting the certificate in it need permission for the signer, beside permission for the subresource. */
export function createCertificatePermissions(authorizer: Authorizer): AdmissionPlugin {
  return {
    name: "CertificateApproval",
    async validate(request) {
      if (
        !isResource(request, "certificates.k8s.io", "certificatesigningrequests") ||
        request.operation !== "UPDATE"
      )
        return;
      const old: SigningRequest | undefined = request.old;
      const signer = old?.spec?.signerName ?? "";
      if (request.subresource === "approval") {
        if (!(await mayUse(authorizer, request, signer, "approve"))) {
          throw admissionForbidden(
            request,
            `user not permitted to approve requests with signerName "${signer}"`,
          );
        }
      } else if (request.subresource === "status") {
        const certificate = (
          request.draft as { readonly status?: { readonly certificate?: string } } | undefined
        )?.status?.certificate;
        if (certificate === old?.status?.certificate) return;
        if (!(await mayUse(authorizer, request, signer, "sign"))) {
          throw admissionForbidden(
            request,
            `user not permitted to sign requests with signerName "${signer}"`,
          );
        }
      }
    },
  };
}

/** Permission for one signer or for all of its domain (`example.com/*`). */
async function mayUse(
  authorizer: Authorizer,
  request: AdmissionRequest,
  signer: string,
  verb: "approve" | "sign",
): Promise<boolean> {
  const domain = signer.slice(0, signer.indexOf("/"));
  for (const name of [signer, `${domain}/*`]) {
    const { decision } = await authorizer.authorize({
      user: request.user,
      verb,
      isResourceRequest: true,
      apiGroup: "certificates.k8s.io",
      apiVersion: "*",
      resource: "signers",
      subresource: "",
      namespace: "",
      name,
      path: "",
    });
    if (decision === "allow") return true;
  }
  return false;
}
