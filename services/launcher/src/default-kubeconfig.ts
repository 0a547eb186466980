import { access } from "node:fs/promises";
import { join } from "node:path";
import type { ProcessContext } from "@wherry/service-kit";

const SYSTEM_KUBECONFIG = "/etc/wherry/wherry.yaml";

/** Where a server of this user has written its kubeconfig: without root below `~/.wherry`, else in /etc/wherry. */
export async function defaultKubeconfig(
  context: Pick<ProcessContext, "isRoot" | "env">,
): Promise<string> {
  const home = context.env["HOME"];
  if (context.isRoot || home === undefined) return SYSTEM_KUBECONFIG;
  const own = join(home, ".wherry", "wherry.yaml");
  return await access(own).then(
    () => own,
    () => SYSTEM_KUBECONFIG,
  );
}
