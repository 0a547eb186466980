/** What is reported as Kubernetes version everywhere. */
export const VERSION = "v1.36.2+wherry1";
