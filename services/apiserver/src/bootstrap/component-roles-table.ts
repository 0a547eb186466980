/** Roles of Wherry's own components, in the format of `default-roles-table.ts`; `auth/component-grants.ts` says who has them. */
export const componentRolesTable = `
ClusterRole system:wherry:supervisor
 read - nodes,endpoints
 patch - nodes
 read discovery.k8s.io endpointslices
 all - secrets,configmaps
 record -,events.k8s.io events
ClusterRole system:wherry:network-policy
 read - nodes,pods,services,namespaces,endpoints
 read discovery.k8s.io endpointslices
 read networking.k8s.io networkpolicies
 record -,events.k8s.io events
ClusterRole system:wherry:node-network
 read - namespaces
`;
