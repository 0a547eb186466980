import { objectKey, type Pod, type PodFailurePolicy } from "@wherry/machinery";

export interface PolicyMatch {
  readonly action: string;
  /** Of the first rule that matches, for FailJob. */
  readonly message: string;
}

/** Pure: the first rule of the policy that fits this failed pod. */
export function matchFailurePolicy(
  policy: PodFailurePolicy | undefined,
  pod: Pod,
): PolicyMatch | undefined {
  for (const [index, { action, onExitCodes, onPodConditions }] of (policy?.rules ?? []).entries()) {
    const rule = `matching ${action} rule at index ${index}`;
    if (onExitCodes !== undefined) {
      const { containerName, operator, values } = onExitCodes;
      for (const { name, state } of [
        ...(pod.status?.containerStatuses ?? []),
        ...(pod.status?.initContainerStatuses ?? []),
      ]) {
        const code = state?.terminated?.exitCode ?? 0;
        if (code === 0 || (containerName !== undefined && containerName !== name)) continue;
        if (values.includes(code) === (operator === "In"))
          return {
            action,
            message: `Container ${name} for pod ${objectKey(pod)} failed with exit code ${code} ${rule}`,
          };
      }
      continue;
    }
    const met = onPodConditions?.find(({ type, status }) =>
      pod.status?.conditions?.some((one) => one.type === type && one.status === (status ?? "True")),
    );
    if (met !== undefined)
      return { action, message: `Pod ${objectKey(pod)} has condition ${met.type} ${rule}` };
  }
  return undefined;
}
