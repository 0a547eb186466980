/** Names under which etcd's services answer. */
export const method = {
  range: "/etcdserverpb.KV/Range",
  put: "/etcdserverpb.KV/Put",
  deleteRange: "/etcdserverpb.KV/DeleteRange",
  txn: "/etcdserverpb.KV/Txn",
  compact: "/etcdserverpb.KV/Compact",
  watch: "/etcdserverpb.Watch/Watch",
  leaseGrant: "/etcdserverpb.Lease/LeaseGrant",
  leaseRevoke: "/etcdserverpb.Lease/LeaseRevoke",
  leaseKeepAlive: "/etcdserverpb.Lease/LeaseKeepAlive",
  leaseTimeToLive: "/etcdserverpb.Lease/LeaseTimeToLive",
  leases: "/etcdserverpb.Lease/LeaseLeases",
  status: "/etcdserverpb.Maintenance/Status",
  memberList: "/etcdserverpb.Cluster/MemberList",
  healthCheck: "/grpc.health.v1.Health/Check",
  healthWatch: "/grpc.health.v1.Health/Watch",
} as const;

/** etcd's bound on a request, and what gRPC may add to it. */
export const REQUEST_MAX_BYTES = 1.5 * 1024 * 1024;
export const GRPC_OVERHEAD_BYTES = 512 * 1024;

export const identity = (bytes: Buffer): Buffer => bytes;
