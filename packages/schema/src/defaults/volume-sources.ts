import { setIfUnset, setIfZero, treeAt, type Tree } from "../tree.ts";

/** Sources that volumes and persistent volumes share. */
export function defaultVolumeSource(holder: Tree): void {
  const hostPath = treeAt(holder, "hostPath");
  if (hostPath !== undefined) setIfUnset(hostPath, "type", "");
  const iscsi = treeAt(holder, "iscsi");
  if (iscsi !== undefined) setIfZero(iscsi, "iscsiInterface", "default");
  const rbd = treeAt(holder, "rbd");
  if (rbd !== undefined) {
    setIfZero(rbd, "pool", "rbd");
    setIfZero(rbd, "user", "admin");
    setIfZero(rbd, "keyring", "/etc/ceph/keyring");
  }
  const azureDisk = treeAt(holder, "azureDisk");
  if (azureDisk !== undefined) {
    setIfUnset(azureDisk, "cachingMode", "ReadWrite");
    setIfUnset(azureDisk, "fsType", "ext4");
    setIfUnset(azureDisk, "readOnly", false);
    setIfUnset(azureDisk, "kind", "Shared");
  }
  const scaleIo = treeAt(holder, "scaleIO");
  if (scaleIo !== undefined) {
    setIfZero(scaleIo, "storageMode", "ThinProvisioned");
    setIfZero(scaleIo, "fsType", "xfs");
  }
}
