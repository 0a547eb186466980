/** scheduling.k8s.io/v1 and node.k8s.io/v1. Required fields are those that every stored object has. */
import type { KubeObject } from "../meta.ts";
import type { Toleration } from "./pod.ts";

export interface PriorityClass extends KubeObject {
  readonly description?: string;
  readonly globalDefault?: boolean;
  readonly preemptionPolicy?: string;
  readonly value?: number;
}

export interface RuntimeClass extends KubeObject {
  readonly handler: string;
  readonly overhead?: Overhead;
  readonly scheduling?: Scheduling;
}

export interface Overhead {
  readonly podFixed?: Readonly<Record<string, string>>;
}

export interface Scheduling {
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly tolerations?: readonly Toleration[];
}
