/**
 * Kubernetes' protobuf as clients send it and existing clusters store it. Objects are turned into the JSON form that everything else works on; nothing is ever
 * stored as protobuf.
 */
import type { Json } from "@wherry/machinery";
import { decodeKubernetesProtobuf, decodeObject, definitionNameOf, schemaOf } from "@wherry/schema";
import type { TypeIdentity } from "./stored-value.ts";

type Tree = { [key: string]: Json | undefined };

/** The object in JSON form, with kind and apiVersion. Throws ApiError BadRequest when the bytes are no such object. */
export function decodeProtobufObject(bytes: Buffer, fallback: TypeIdentity): Tree {
  return decodeKubernetesProtobuf(bytes, fallback).object as Tree;
}

/** A stored value as an object of the storage version, zero values left out as JSON leaves them out. */
export function decodeStoredProtobuf(bytes: Buffer, type: TypeIdentity): Tree {
  const { apiVersion, kind, object } = decodeKubernetesProtobuf(bytes, type);
  const slash = apiVersion.indexOf("/");
  const group = slash < 0 ? "" : apiVersion.slice(0, slash);
  const version = apiVersion.slice(slash + 1);
  const name = definitionNameOf(group, version, kind);
  if (name === undefined) return object as Tree;
  return decodeObject({ group, version, kind, schema: schemaOf(name) }, object, {
    fieldValidation: "Ignore",
  }).object;
}
