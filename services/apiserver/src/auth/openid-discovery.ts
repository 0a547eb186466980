import { jsonWebKey, type VerificationKey } from "./service-account-keys.ts";

export interface OpenIdOptions {
  readonly issuer: string;
  /** Where others reach `/openid/v1/jwks`; absent = under the issuer. */
  readonly jwksUri?: string;
  readonly keys: readonly VerificationKey[];
}

export interface StaticDocument {
  readonly path: string;
  readonly contentType: string;
  readonly body: Buffer;
}

/** What lets others verify service-account tokens without asking us (OpenID Connect discovery). Cacheable for an hour, as upstream. */
export const openIdCacheControl = "public, max-age=3600";

export function createOpenIdDocuments(options: OpenIdOptions): readonly StaticDocument[] {
  const unique = [...new Map(options.keys.map((key) => [key.id, key])).values()];
  const configuration = {
    issuer: options.issuer,
    jwks_uri: options.jwksUri ?? new URL("/openid/v1/jwks", options.issuer).href,
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: [...new Set(unique.map((key) => key.algorithm))].sort(),
  };
  return [
    {
      path: "/.well-known/openid-configuration",
      contentType: "application/json",
      body: Buffer.from(JSON.stringify(configuration)),
    },
    {
      path: "/openid/v1/jwks",
      contentType: "application/jwk-set+json",
      body: Buffer.from(JSON.stringify({ keys: unique.map(jsonWebKey) })),
    },
  ];
}
