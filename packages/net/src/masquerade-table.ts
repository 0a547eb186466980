import { tableText, type NftTable } from "./nft-script.ts";

/**
 * A table that hides pod addresses from the world outside the cluster: what pods send to addresses outside the pod network leaves with the
 * node's address. Replaces an earlier one in the same transaction.
 */
export function masqueradeCommands(table: NftTable, podCidr: string): string {
  const name = tableText(table);
  const ip = table.family;
  const multicast = ip === "ip" ? "224.0.0.0/4" : "ff00::/8";
  return [
    `add table ${name}`,
    `delete table ${name}`,
    `add table ${name}`,
    `add chain ${name} postrouting { type nat hook postrouting priority 110 ; }`,
    `add rule ${name} postrouting ${ip} saddr ${podCidr} ${ip} daddr != { ${podCidr}, ${multicast} } masquerade fully-random`,
    "",
  ].join("\n");
}
