/** gRPC status codes that etcd uses (https://grpc.io/docs/guides/status-codes/). */
export const grpcCode = {
  ok: 0,
  canceled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

export type GrpcCodeName = keyof typeof grpcCode;

/** A failure with etcd's code and exact text; clients of etcd match on both (rpctypes). */
export class EtcdError extends Error {
  readonly code: GrpcCodeName;

  constructor(code: GrpcCodeName, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "EtcdError";
    this.code = code;
  }
}

const errorOf =
  (code: GrpcCodeName, message: string) =>
  (cause?: unknown): EtcdError =>
    new EtcdError(code, message, cause === undefined ? undefined : { cause });

/** etcd's errors (api/v3rpc/rpctypes/error.go), declared once. Call one to make it. */
export const etcdErrors = {
  compacted: errorOf("outOfRange", "etcdserver: mvcc: required revision has been compacted"),
  futureRevision: errorOf("outOfRange", "etcdserver: mvcc: required revision is a future revision"),
  noSpace: errorOf("resourceExhausted", "etcdserver: mvcc: database space exceeded"),
  emptyKey: errorOf("invalidArgument", "etcdserver: key is not provided"),
  keyNotFound: errorOf("invalidArgument", "etcdserver: key not found"),
  valueProvided: errorOf("invalidArgument", "etcdserver: value is provided"),
  leaseProvided: errorOf("invalidArgument", "etcdserver: lease is provided"),
  tooManyOps: errorOf("invalidArgument", "etcdserver: too many operations in txn request"),
  duplicateKey: errorOf("invalidArgument", "etcdserver: duplicate key given in txn request"),
  invalidSortOption: errorOf("invalidArgument", "etcdserver: invalid sort option"),
  requestTooLarge: errorOf("invalidArgument", "etcdserver: request is too large"),
  leaseNotFound: errorOf("notFound", "etcdserver: requested lease not found"),
  leaseExists: errorOf("failedPrecondition", "etcdserver: lease already exists"),
  leaseTtlTooLarge: errorOf("outOfRange", "etcdserver: too large lease TTL"),
  tooManyRequests: errorOf("resourceExhausted", "etcdserver: too many requests"),
  noLeader: errorOf("unavailable", "etcdserver: no leader"),
  timeout: errorOf("unavailable", "etcdserver: request timed out"),
  stopped: errorOf("unavailable", "etcdserver: server stopped"),
  watchCanceled: errorOf("canceled", "etcdserver: watch canceled"),
  authNotEnabled: errorOf("failedPrecondition", "etcdserver: authentication is not enabled"),
} as const;
