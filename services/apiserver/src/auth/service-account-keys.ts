import {
  createHash,
  createPrivateKey,
  createPublicKey,
  sign,
  verify,
  type KeyObject,
} from "node:crypto";

/** Signature algorithms of service-account tokens, by key (RFC 7518). */
export type JwtAlgorithm = "RS256" | "ES256" | "ES384" | "ES512";

const digestOf = {
  RS256: "sha256",
  ES256: "sha256",
  ES384: "sha384",
  ES512: "sha512",
} as const satisfies Record<JwtAlgorithm, string>;
const algorithmOfCurve: Readonly<Record<string, JwtAlgorithm>> = {
  prime256v1: "ES256",
  secp384r1: "ES384",
  secp521r1: "ES512",
};

export interface VerificationKey {
  readonly id: string;
  readonly algorithm: JwtAlgorithm;
  readonly key: KeyObject;
}

export interface SigningKey extends VerificationKey {
  readonly publicKey: VerificationKey;
}

/** `pem` is a private key (PKCS#8, PKCS#1 or SEC1). */
export function parseSigningKey(pem: string): SigningKey {
  const key = createPrivateKey(pem);
  const publicKey = verificationKey(createPublicKey(key));
  return { ...publicKey, key, publicKey };
}

/** All keys of a PEM file, public ones and private ones' public halves; the file may hold several so that keys can be rotated. */
export function parseVerificationKeys(pem: string): readonly VerificationKey[] {
  const blocks = pem.match(/-----BEGIN ([A-Z ]+)-----[^-]+-----END \1-----/g) ?? [];
  const keys = blocks
    .filter((block) => /(KEY|CERTIFICATE)-----\n?$/.test(block) && !block.includes("EC PARAMETERS"))
    .map((block) => verificationKey(createPublicKey(block)));
  if (keys.length === 0) throw new TypeError("the service account key file holds no PEM key");
  return keys;
}

export function signBytes(key: SigningKey, data: Buffer): Buffer {
  return sign(
    digestOf[key.algorithm],
    data,
    key.algorithm === "RS256" ? key.key : { key: key.key, dsaEncoding: "ieee-p1363" },
  );
}

export function verifyBytes(key: VerificationKey, data: Buffer, signature: Buffer): boolean {
  return verify(
    digestOf[key.algorithm],
    data,
    key.algorithm === "RS256" ? key.key : { key: key.key, dsaEncoding: "ieee-p1363" },
    signature,
  );
}

/** A JWK of the public key, as `/openid/v1/jwks` lists it. */
export function jsonWebKey(key: VerificationKey): Readonly<Record<string, string>> {
  const jwk = key.key.export({ format: "jwk" });
  const fields =
    key.algorithm === "RS256"
      ? { n: jwk.n ?? "", e: jwk.e ?? "" }
      : { crv: jwk.crv ?? "", x: jwk.x ?? "", y: jwk.y ?? "" };
  return { use: "sig", kty: jwk.kty ?? "", kid: key.id, alg: key.algorithm, ...fields };
}

/** The key id is the SHA-256 of the PKIX form, as upstream's, so that tokens of either server name the same key. */
function verificationKey(key: KeyObject): VerificationKey {
  const id = createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest("base64url");
  return { id, algorithm: algorithmOf(key), key };
}

function algorithmOf(key: KeyObject): JwtAlgorithm {
  if (key.asymmetricKeyType === "rsa") return "RS256";
  const algorithm = algorithmOfCurve[key.asymmetricKeyDetails?.namedCurve ?? ""];
  if (algorithm === undefined)
    throw new TypeError(
      `service account keys are RSA or ECDSA (P-256, P-384, P-521); found ${key.asymmetricKeyType ?? "another kind"}`,
    );
  return algorithm;
}
