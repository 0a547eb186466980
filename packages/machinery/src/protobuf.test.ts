import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MachineryError } from "./machinery-error.ts";
import { createProtobufCodec, type ProtobufTable } from "./protobuf.ts";

const table: ProtobufTable = {
  syntax: "proto3",
  int64: "bigint",
  messages: {
    Everything: {
      text: [1, "string"],
      number: [2, "int32"],
      big: [3, "int64"],
      list: [4, "int64", "repeated"],
      labels: [5, "map<string,string>"],
      child: [6, "Everything"],
      children: [7, "Everything", "repeated"],
      raw: [8, "bytes"],
      color: [9, "Color"],
      flag: [10, "bool"],
      ratio: [11, "double"],
      unsigned: [12, "uint64"],
      words: [13, "string", "repeated"],
    },
    Small: { number: [2, "int32"] },
  },
  enums: { Color: { RED: 0, BLUE: 2 } },
};
const codec = createProtobufCodec(table);

describe("protobuf codec", () => {
  test("writes the documented bytes", () => {
    // The examples of the public encoding guide: 150 as field 2 of type varint, "testing" as field 1.
    assert.deepEqual(codec.encode("Small", { number: 150 }), Buffer.from("109601", "hex"));
    assert.deepEqual(
      codec.encode("Everything", { text: "testing" }),
      Buffer.from("0a0774657374696e67", "hex"),
    );
    assert.deepEqual(
      codec.encode("Everything", { list: [3n, 270n, 86942n] }),
      Buffer.from("2206038e029ea705", "hex"),
    );
    assert.deepEqual(
      codec.encode("Everything", { number: -2 }),
      Buffer.from("10feffffffffffffffff01", "hex"),
    );
  });

  test("decodes what it encoded", () => {
    const value = {
      text: "grüße",
      number: -7,
      big: -(2n ** 63n),
      list: [0n, -1n, 2n ** 62n],
      labels: { a: "1", b: "", ["__proto__"]: "x" },
      child: { child: { text: "deep" } },
      children: [{ text: "x".repeat(1000) }, {}, { color: "BLUE" }],
      raw: Buffer.from([0, 255]),
      color: "RED",
      flag: true,
      ratio: 0.1,
      unsigned: 2n ** 64n - 1n,
      words: ["", "a"],
    };
    assert.deepEqual(codec.decode("Everything", codec.encode("Everything", value)), value);
  });

  test("skips fields that it does not know and takes unpacked numbers", () => {
    const bytes = codec.encode("Everything", {
      text: "x",
      number: 5,
      ratio: 1.5,
      labels: { a: "b" },
    });
    assert.deepEqual(codec.decode("Small", bytes), { number: 5 });
    assert.deepEqual(codec.decode("Everything", Buffer.from("20012002", "hex")), {
      list: [1n, 2n],
    });
  });

  test("keeps the number of an unknown enum value", () => {
    assert.deepEqual(codec.decode("Everything", Buffer.from("4805", "hex")), { color: 5 });
  });

  test("refuses cut and malformed input", () => {
    for (const hex of ["0a05", "10", "0aff", "1080808080808080808080808001", "0b", "0d00000000"]) {
      assert.throws(() => codec.decode("Everything", Buffer.from(hex, "hex")), MachineryError, hex);
    }
  });

  test("gives numbers instead of bigints when asked, and refuses unsafe ones", () => {
    const numbers = createProtobufCodec({ ...table, int64: "number" });
    assert.deepEqual(numbers.decode("Everything", numbers.encode("Everything", { big: 7 })), {
      big: 7,
    });
    assert.throws(
      () => numbers.decode("Everything", codec.encode("Everything", { big: 2n ** 60n })),
      MachineryError,
    );
  });
});
