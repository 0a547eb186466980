import { createLab } from "@wherry/testkit";
import { placeSampleImages } from "./src/sample-images.ts";
import { writeFileSync } from "node:fs";
const lab = await createLab();
const m = await lab.addMachine("n1");
await placeSampleImages(m.folder + "/data");
writeFileSync("/tmp/lab.env", `NS="${m.commandLine([]).join(" ")}"\nKC=${m.folder}/kc\nFOLDER=${m.folder}\nIP=${m.ip}\n`);
process.on("SIGTERM", async () => { await lab.close(); process.exit(0); });
console.log("ready"); setTimeout(() => {}, 1e9);
