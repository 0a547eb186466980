import {
  isBeingDeleted,
  hasFinalizer,
  type KubeObject,
  type OwnerReference,
} from "@wherry/machinery";

/**
 * Who owns whom, by uid, as the watches tell it (upstream: garbagecollector.GraphBuilder). Pure bookkeeping: each change answers with what has
 * to be looked at again.
 *
 * An owner that is referred to before it has been seen stands as a virtual node under the coordinates that the reference gives, until it is
 * seen, or found absent. What a reference says of an owner (kind, name, namespace) may be wrong; then the dependent itself is looked at.
 */

export const foregroundFinalizer = "foregroundDeletion";
export const orphanFinalizer = "orphan";

export interface Identity {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  /** "" for cluster-scoped objects. */
  readonly namespace: string;
  readonly uid: string;
}

export interface GraphNode {
  readonly identity: Identity;
  readonly owners: readonly OwnerReference[];
  readonly dependents: ReadonlySet<GraphNode>;
  /** False while it is known by references only. */
  readonly observed: boolean;
  readonly beingDeleted: boolean;
  /** It waits for its dependents to go (foreground deletion). */
  readonly deletingDependents: boolean;
}

export interface GraphWork {
  /** Nodes that may have to be deleted, or whose wait may be over. */
  readonly collect: ReadonlySet<string>;
  /** Virtual nodes whose existence is to be found out. */
  readonly verify: ReadonlySet<string>;
  /** Nodes whose dependents are to be let go. */
  readonly orphan: ReadonlySet<string>;
  /** References from one namespace into another. */
  readonly invalid: readonly {
    readonly dependent: GraphNode;
    readonly reference: OwnerReference;
  }[];
}

export interface OwnerGraph {
  get(uid: string): GraphNode | undefined;
  readonly size: number;
  nodes(): Iterable<GraphNode>;
  observe(object: KubeObject): GraphWork;
  /** The watch says that the object is gone. */
  remove(object: KubeObject): GraphWork;
  /** The server says that there is no such object. */
  foundAbsent(identity: Identity): GraphWork;
  isAbsent(identity: Identity): boolean;
  markAbsent(identity: Identity): void;
}

interface MutableNode extends GraphNode {
  identity: Identity;
  owners: readonly OwnerReference[];
  dependents: Set<MutableNode>;
  observed: boolean;
  beingDeleted: boolean;
  deletingDependents: boolean;
  orphaning: boolean;
}

interface MutableWork extends GraphWork {
  readonly collect: Set<string>;
  readonly verify: Set<string>;
  readonly orphan: Set<string>;
  readonly invalid: { readonly dependent: GraphNode; readonly reference: OwnerReference }[];
}

/** Owners known to be absent; the one noted longest ago is forgotten beyond this. */
const absentMax = 500;

export function createOwnerGraph(): OwnerGraph {
  const nodes = new Map<string, MutableNode>();
  const absent = new Set<string>();

  const markAbsent = (identity: Identity): void => {
    const key = identityKey(identity);
    absent.delete(key);
    absent.add(key);
    const [oldest] = absent;
    if (absent.size > absentMax && oldest !== undefined) absent.delete(oldest);
  };

  const addToOwners = (
    node: MutableNode,
    owners: readonly OwnerReference[],
    work: MutableWork,
  ): void => {
    let isDoubtful = false;
    for (const reference of owners) {
      const owner = nodes.get(reference.uid);
      if (owner === undefined) {
        const virtual = newNode(identityOf(reference, node.identity.namespace), []);
        virtual.dependents.add(node);
        nodes.set(reference.uid, virtual);
        work.verify.add(reference.uid);
        continue;
      }
      owner.dependents.add(node);
      const doubt = doubtAbout(node, reference, owner);
      if (doubt === "namespace" && owner.observed)
        work.invalid.push({ dependent: node, reference });
      if (doubt !== undefined) isDoubtful = true;
    }
    if (isDoubtful) work.collect.add(node.identity.uid);
  };

  /** The node has been seen for the first time: those that called it something else are in doubt. */
  const unveil = (node: MutableNode, identity: Identity, work: MutableWork): void => {
    node.observed = true;
    if (identityKey(node.identity) !== identityKey(identity)) {
      for (const { dependent, reference, matches } of referencesTo(node, identity)) {
        if (matches) continue;
        if (identity.namespace !== "" && dependent.identity.namespace !== identity.namespace)
          work.invalid.push({ dependent, reference });
        work.collect.add(dependent.identity.uid);
      }
    }
    node.identity = identity;
  };

  const updateOwners = (
    node: MutableNode,
    owners: readonly OwnerReference[],
    work: MutableWork,
  ): void => {
    const before = new Map(node.owners.map((one) => [one.uid, one]));
    const after = new Map(owners.map((one) => [one.uid, one]));
    node.owners = owners;
    for (const [uid, old] of before) {
      const next = after.get(uid);
      // An owner that waited for this one may go on.
      if (old.blockOwnerDeletion === true && next?.blockOwnerDeletion !== true && nodes.has(uid))
        work.collect.add(uid);
      if (next === undefined) nodes.get(uid)?.dependents.delete(node);
    }
    addToOwners(
      node,
      owners.filter((one) => !before.has(one.uid)),
      work,
    );
  };

  const noteDeletion = (node: MutableNode, object: KubeObject, work: MutableWork): void => {
    const isDeleted = isBeingDeleted(object);
    node.beingDeleted = isDeleted;
    const orphans = isDeleted && hasFinalizer(object, orphanFinalizer);
    const waits = isDeleted && hasFinalizer(object, foregroundFinalizer);
    if (orphans && !node.orphaning) work.orphan.add(node.identity.uid);
    else if (waits && !node.deletingDependents) {
      for (const dependent of node.dependents) work.collect.add(dependent.identity.uid);
      work.collect.add(node.identity.uid);
    }
    node.orphaning = orphans;
    node.deletingDependents = waits;
  };

  const drop = (node: MutableNode, work: MutableWork): void => {
    nodes.delete(node.identity.uid);
    if (node.dependents.size > 0) markAbsent(node.identity);
    for (const dependent of node.dependents) work.collect.add(dependent.identity.uid);
    for (const { uid } of node.owners) {
      const owner = nodes.get(uid);
      owner?.dependents.delete(node);
      if (owner?.deletingDependents === true) work.collect.add(uid);
    }
  };

  return {
    get: (uid) => nodes.get(uid),
    get size() {
      return nodes.size;
    },
    nodes: () => nodes.values(),
    isAbsent: (identity) => absent.has(identityKey(identity)),
    markAbsent,

    observe(object) {
      const work = newWork();
      const identity = identityOfObject(object);
      const owners = object.metadata.ownerReferences ?? [];
      let node = nodes.get(identity.uid);
      if (node === undefined) {
        node = newNode(identity, owners);
        node.observed = true;
        nodes.set(identity.uid, node);
        addToOwners(node, owners, work);
      } else {
        if (!node.observed) unveil(node, identity, work);
        node.identity = identity;
        updateOwners(node, owners, work);
      }
      noteDeletion(node, object, work);
      return work;
    },

    remove(object) {
      const work = newWork();
      const node = nodes.get(object.metadata.uid ?? "");
      if (node !== undefined) drop(node, work);
      return work;
    },

    foundAbsent(identity) {
      const work = newWork();
      const node = nodes.get(identity.uid);
      if (node === undefined) return work;
      const isThis = identityKey(node.identity) === identityKey(identity);
      const references = [...referencesTo(node, identity)];
      const others = references.filter((one) => !one.matches);
      if (isThis && (node.observed || others.length === 0)) {
        drop(node, work);
        return work;
      }
      if (!isThis && !node.observed && others.length === 0) {
        drop(node, work);
        return work;
      }
      markAbsent(identity);
      for (const { dependent, matches } of references)
        if (matches) work.collect.add(dependent.identity.uid);
      if (node.observed || !isThis) return work;
      // Its dependents disagree about what it is: what another one says is found out next.
      const alternative = others
        .map(({ dependent, reference }) => identityOf(reference, dependent.identity.namespace))
        .find((one) => !absent.has(identityKey(one)));
      if (alternative === undefined) {
        drop(node, work);
        return work;
      }
      node.identity = alternative;
      work.verify.add(identity.uid);
      return work;
    },
  };
}

export function blockingDependents(node: GraphNode): readonly GraphNode[] {
  return [...node.dependents].filter((dependent) =>
    dependent.owners.some(
      (owner) => owner.uid === node.identity.uid && owner.blockOwnerDeletion === true,
    ),
  );
}

export function identityOf(reference: OwnerReference, namespace: string): Identity {
  const { apiVersion, kind, name, uid } = reference;
  return { apiVersion, kind, name, namespace, uid };
}

/** "[v1/Pod, namespace: a, name: b, uid: c]", as upstream prints it in events. */
export function formatIdentity({ apiVersion, kind, name, namespace, uid }: Identity): string {
  return `[${apiVersion}/${kind}, namespace: ${namespace}, name: ${name}, uid: ${uid}]`;
}

function identityOfObject(object: KubeObject): Identity {
  const { name = "", namespace = "", uid = "" } = object.metadata;
  return { apiVersion: object.apiVersion ?? "", kind: object.kind ?? "", name, namespace, uid };
}

/** What may be wrong with a reference to a node that is in the graph. */
function doubtAbout(
  node: MutableNode,
  reference: OwnerReference,
  owner: MutableNode,
): "namespace" | "coordinates" | undefined {
  const { namespace } = owner.identity;
  if (namespace !== "" && namespace !== node.identity.namespace) return "namespace";
  if (!matchesCoordinates(reference, owner.identity)) return "coordinates";
  return namespace === "" && node.identity.namespace !== "" && !owner.observed
    ? "coordinates"
    : undefined;
}

function* referencesTo(
  node: MutableNode,
  identity: Identity,
): Generator<{
  readonly dependent: MutableNode;
  readonly reference: OwnerReference;
  readonly matches: boolean;
}> {
  for (const dependent of node.dependents) {
    for (const reference of dependent.owners) {
      if (reference.uid !== identity.uid) continue;
      const sameNamespace =
        identity.namespace === "" || identity.namespace === dependent.identity.namespace;
      yield {
        dependent,
        reference,
        matches: sameNamespace && matchesCoordinates(reference, identity),
      };
    }
  }
}

function matchesCoordinates(reference: OwnerReference, identity: Identity): boolean {
  return (
    reference.apiVersion === identity.apiVersion &&
    reference.kind === identity.kind &&
    reference.name === identity.name &&
    reference.uid === identity.uid
  );
}

function identityKey({ apiVersion, kind, name, namespace, uid }: Identity): string {
  return `${namespace} ${apiVersion} ${kind} ${name} ${uid}`;
}

function newNode(identity: Identity, owners: readonly OwnerReference[]): MutableNode {
  return {
    identity,
    owners,
    dependents: new Set(),
    observed: false,
    beingDeleted: false,
    deletingDependents: false,
    orphaning: false,
  };
}

function newWork(): MutableWork {
  return { collect: new Set(), verify: new Set(), orphan: new Set(), invalid: [] };
}
