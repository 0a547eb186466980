import { once } from "node:events";
import type { PlannedBlob } from "../oci/import-plan.ts";
import { RuntimeError } from "../runtime.ts";
import { runtimeErrorFrom, type GrpcChannel } from "./grpc-channel.ts";
import type { NativeClient } from "./native-client.ts";

const WRITE_PATH = "/containerd.services.content.v1.Content/Write";
const MESSAGE_BYTES = 1024 * 1024;

/** Streams one blob into containerd's content store, which checks its digest. A blob that is there already is left alone (and kept by the lease). */
export async function writeBlob(
  channel: GrpcChannel,
  native: NativeClient,
  lease: string,
  blob: PlannedBlob,
  content: AsyncIterable<Buffer>,
): Promise<void> {
  const stream = await channel.duplexStream(WRITE_PATH, native.metadata(lease));
  const head = { ref: `${lease}-${blob.digest}`, total: blob.size, expected: blob.digest };
  const encode = (request: object): Buffer =>
    native.codec.encode("ContentWriteRequest", { ...head, ...request });
  let failure: RuntimeError | undefined;
  let committed = false;
  const opened = Promise.withResolvers<void>();
  const over = Promise.withResolvers<void>();
  stream.on("data", (bytes: Buffer) => {
    if (native.codec.decode("ContentWriteResponse", bytes)["action"] === "COMMIT") committed = true;
    opened.resolve();
  });
  stream.on("error", (error) => {
    failure = runtimeErrorFrom(error);
    opened.resolve();
    over.resolve();
  });
  stream.on("end", () => over.resolve());

  stream.write(encode({ action: "STAT" }));
  await opened.promise;
  let offset = 0;
  for await (const chunk of content) {
    for (let at = 0; at < chunk.length && failure === undefined; at += MESSAGE_BYTES) {
      const data = chunk.subarray(at, at + MESSAGE_BYTES);
      const more = stream.write(encode({ action: "WRITE", offset, data }));
      offset += data.length;
      if (!more) await Promise.race([once(stream, "drain"), over.promise]);
    }
  }
  if (failure === undefined)
    stream.write(encode({ action: "COMMIT", offset, labels: blob.labels }));
  stream.end();
  await over.promise;
  if (failure !== undefined && failure.code !== "alreadyExists") throw failure;
  if (failure === undefined && !committed)
    throw new RuntimeError("internal", `containerd did not confirm ${blob.digest}`);
}
