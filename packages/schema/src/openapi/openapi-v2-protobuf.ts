import {
  createProtobufCodec,
  type JsonObject,
  type ProtobufCodec,
  type ProtobufTable,
} from "@wherry/machinery";
import type { OpenApiPart } from "./openapi-v2.ts";

/**
 * The document of /openapi/v2 as the protobuf message openapi.v2.Document, which older clients ask for
 * (application/com.github.proto-openapi.spec.v2@v1.0+protobuf). Only what our documents hold is encoded.
 */
export function encodeOpenApiV2Protobuf(document: JsonObject): Buffer {
  return codec().encode("Document", documentMessage(document));
}

/**
 * The bytes of one path or definition as a document of its own. Bytes of such documents set after each other are read as one that holds them
 * all: that is how protobuf merges.
 */
export function encodeOpenApiV2Part(part: OpenApiPart): Buffer {
  return codec().encode(
    "Document",
    documentMessage({ [part.section]: { [part.name]: part.document } }),
  );
}

let sharedCodec: ProtobufCodec | undefined;

function codec(): ProtobufCodec {
  sharedCodec ??= createProtobufCodec(table);
  return sharedCodec;
}

/** Field numbers of the parts of OpenAPIv2.proto that are used. */
const table: ProtobufTable = {
  syntax: "proto3",
  messages: {
    Document: {
      swagger: [1, "string"],
      info: [2, "Info"],
      paths: [8, "Paths"],
      definitions: [9, "Definitions"],
      security: [12, "SecurityRequirement", "repeated"],
      securityDefinitions: [13, "SecurityDefinitions"],
    },
    Info: { title: [1, "string"], version: [2, "string"] },
    Any: { yaml: [2, "string"] },
    NamedAny: { name: [1, "string"], value: [2, "Any"] },
    Paths: { path: [2, "NamedPathItem", "repeated"] },
    NamedPathItem: { name: [1, "string"], value: [2, "PathItem"] },
    PathItem: {
      get: [2, "Operation"],
      put: [3, "Operation"],
      post: [4, "Operation"],
      delete: [5, "Operation"],
      options: [6, "Operation"],
      head: [7, "Operation"],
      patch: [8, "Operation"],
      parameters: [9, "ParametersItem", "repeated"],
    },
    Operation: {
      tags: [1, "string", "repeated"],
      operationId: [5, "string"],
      produces: [6, "string", "repeated"],
      consumes: [7, "string", "repeated"],
      parameters: [8, "ParametersItem", "repeated"],
      responses: [9, "Responses"],
      schemes: [10, "string", "repeated"],
      vendorExtension: [13, "NamedAny", "repeated"],
    },
    ParametersItem: { parameter: [1, "Parameter"] },
    Parameter: { bodyParameter: [1, "BodyParameter"], nonBodyParameter: [2, "NonBodyParameter"] },
    BodyParameter: {
      name: [2, "string"],
      in: [3, "string"],
      required: [4, "bool"],
      schema: [5, "Schema"],
    },
    NonBodyParameter: { query: [3, "QueryParameter"], path: [4, "PathParameter"] },
    QueryParameter: {
      in: [2, "string"],
      name: [4, "string"],
      type: [6, "string"],
      uniqueItems: [20, "bool"],
    },
    PathParameter: {
      required: [1, "bool"],
      in: [2, "string"],
      name: [4, "string"],
      type: [5, "string"],
      uniqueItems: [19, "bool"],
    },
    Responses: { responseCode: [1, "NamedResponseValue", "repeated"] },
    NamedResponseValue: { name: [1, "string"], value: [2, "ResponseValue"] },
    ResponseValue: { response: [1, "Response"] },
    Response: { description: [1, "string"], schema: [2, "SchemaItem"] },
    SchemaItem: { schema: [1, "Schema"] },
    Schema: {
      ref: [1, "string"],
      format: [2, "string"],
      default: [5, "Any"],
      required: [19, "string", "repeated"],
      enum: [20, "Any", "repeated"],
      additionalProperties: [21, "AdditionalPropertiesItem"],
      type: [22, "TypeItem"],
      items: [23, "ItemsItem"],
      properties: [25, "Properties"],
      vendorExtension: [31, "NamedAny", "repeated"],
    },
    AdditionalPropertiesItem: { schema: [1, "Schema"] },
    TypeItem: { value: [1, "string", "repeated"] },
    ItemsItem: { schema: [1, "Schema", "repeated"] },
    Properties: { additionalProperties: [1, "NamedSchema", "repeated"] },
    Definitions: { additionalProperties: [1, "NamedSchema", "repeated"] },
    NamedSchema: { name: [1, "string"], value: [2, "Schema"] },
    SecurityRequirement: { additionalProperties: [1, "NamedStringArray", "repeated"] },
    NamedStringArray: { name: [1, "string"], value: [2, "StringArray"] },
    StringArray: { value: [1, "string", "repeated"] },
    SecurityDefinitions: { additionalProperties: [1, "NamedSecurityDefinitionsItem", "repeated"] },
    NamedSecurityDefinitionsItem: { name: [1, "string"], value: [2, "SecurityDefinitionsItem"] },
    SecurityDefinitionsItem: { apiKeySecurity: [2, "ApiKeySecurity"] },
    ApiKeySecurity: { type: [1, "string"], name: [2, "string"], in: [3, "string"] },
  },
};

function documentMessage(document: JsonObject): object {
  const { swagger, info, paths, definitions, security, securityDefinitions } = document;
  return {
    swagger,
    info,
    ...(paths === undefined ? {} : { paths: { path: named(paths, pathItem) } }),
    ...(definitions === undefined
      ? {}
      : { definitions: { additionalProperties: named(definitions, schemaMessage) } }),
    security: ((security ?? []) as readonly JsonObject[]).map((requirement) => ({
      additionalProperties: named(requirement, (value) => ({ value })),
    })),
    ...(securityDefinitions === undefined
      ? {}
      : {
          securityDefinitions: {
            additionalProperties: named(securityDefinitions, (value) => ({
              apiKeySecurity: value,
            })),
          },
        }),
  };
}

const methods = ["get", "put", "post", "delete", "options", "head", "patch"] as const;

function pathItem(item: JsonObject): object {
  const message: { [key: string]: unknown } = { parameters: parameterMessages(item["parameters"]) };
  for (const method of methods) {
    const operation = item[method] as JsonObject | undefined;
    if (operation !== undefined) message[method] = operationMessage(operation);
  }
  return message;
}

function operationMessage(operation: JsonObject): object {
  return {
    tags: operation["tags"],
    operationId: operation["operationId"],
    produces: operation["produces"],
    consumes: operation["consumes"],
    schemes: operation["schemes"],
    parameters: parameterMessages(operation["parameters"]),
    responses: {
      responseCode: named(operation["responses"], (response) => ({
        response: {
          description: response["description"],
          ...(response["schema"] === undefined
            ? {}
            : { schema: { schema: schemaMessage(response["schema"] as JsonObject) } }),
        },
      })),
    },
    vendorExtension: extensions(operation),
  };
}

function parameterMessages(parameters: unknown): readonly object[] {
  return ((parameters ?? []) as readonly JsonObject[]).map((parameter) => {
    const { in: place, name, required, type, uniqueItems, schema } = parameter;
    if (place === "body") {
      return {
        parameter: {
          bodyParameter: { name, in: place, required, schema: schemaMessage(schema as JsonObject) },
        },
      };
    }
    const content = {
      in: place,
      name,
      type,
      uniqueItems,
      ...(place === "path" ? { required } : {}),
    };
    return { parameter: { nonBodyParameter: { [place as string]: content } } };
  });
}

function schemaMessage(schema: JsonObject): object {
  const { type, items, properties, additionalProperties, enum: values } = schema;
  return {
    ref: schema["$ref"],
    format: schema["format"],
    required: schema["required"],
    ...(schema["default"] === undefined ? {} : { default: any(schema["default"]) }),
    ...(values === undefined ? {} : { enum: (values as readonly unknown[]).map(any) }),
    ...(type === undefined ? {} : { type: { value: [type] } }),
    ...(items === undefined ? {} : { items: { schema: [schemaMessage(items as JsonObject)] } }),
    ...(additionalProperties === undefined
      ? {}
      : { additionalProperties: { schema: schemaMessage(additionalProperties as JsonObject) } }),
    ...(properties === undefined
      ? {}
      : { properties: { additionalProperties: named(properties, schemaMessage) } }),
    vendorExtension: extensions(schema),
  };
}

function extensions(holder: JsonObject): readonly object[] {
  return Object.entries(holder)
    .filter(([key]) => key.startsWith("x-"))
    .map(([name, value]) => ({ name, value: any(value) }));
}

/** Free values travel as YAML, of which JSON is a part. */
function any(value: unknown): object {
  return { yaml: `${JSON.stringify(value)}\n` };
}

function named(map: unknown, convert: (value: JsonObject) => object): readonly object[] {
  return Object.entries(map as Record<string, JsonObject>).map(([name, value]) => ({
    name,
    value: convert(value),
  }));
}
